"""Runs Schemathesis on a giftd of its own, as production and as sandbox; `scripts/schemathesis` says how."""

import argparse
import collections
import datetime
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START_SECONDS = 120
# Cases that one account's run makes for each example an operation gets, by a wide margin: how many examples are needed.
CASES_AN_EXAMPLE = 55
# Who runs; and who must not get anything of theirs.
ACCOUNTS = ("production", "sandbox")
STRANGER = "stranger"
SCOPES = "orders.read orders.write orders.cancel catalog.read balance.read templates.read templates.write"


def main() -> int:
    arguments = parse_arguments()
    # So that what was started is ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    work = pathlib.Path(arguments.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="giftd-schemathesis.") as folder:
        giftd = str(pathlib.Path(arguments.giftd).resolve())
        server = Server(giftd, pathlib.Path(folder), arguments.database)
        try:
            return attack(server.wait(), arguments, work, pathlib.Path(folder))
        finally:
            server.stop()


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--giftd", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database")
    return parser.parse_args()


class Server:
    """`giftd demo`: catalog, rates, two apps with all scopes, and a server on a free port."""

    def __init__(self, giftd: str, folder: pathlib.Path, database: str | None):
        self.folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIFTD_")}
        environment |= {
            "GIFTD_DATA_DIR": str(folder / "data"),
            "GIFTD_LISTEN": "127.0.0.1:0",
            "GIFTD_RATE_LIMIT_PRODUCTION": "0",
            "GIFTD_RATE_LIMIT_SANDBOX": "0",
        }
        if database:
            environment["GIFTD_DATABASE_URL"] = database
        self.command, self.environment = giftd, environment
        self.log = (folder / "log").open("wb")
        self.told = folder / "told.json"
        with self.told.open("wb") as told:
            command, streams = [giftd, "--json", "demo"], {"stdin": subprocess.DEVNULL, "stdout": told, "stderr": self.log}
            self.process = subprocess.Popen(command, cwd=folder, env=environment, **streams)

    def wait(self) -> dict:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                told = json.loads(self.told.read_text())
                break
            except json.JSONDecodeError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            told = None
        if self.process.poll() is not None or told is None:
            self.tell_log()
            raise SystemExit("the server didn't start")
        # So that hardly an order fails for want of money.
        credit = ("--amount", "90000000.00", "--reference", "schemathesis")
        self.giftd("balance", "credit", "--org", told["organizationId"], *credit)
        other = self.giftd("org", "create", "Another organization")["organizationId"]
        app = ("--environment", "production", "--name", "Stranger", "--scopes", SCOPES)
        return told | {STRANGER: self.giftd("app", "create", "--org", other, *app)}

    def giftd(self, *arguments: str) -> dict:
        command = [self.command, "--json", *arguments]
        run = subprocess.run(command, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.PIPE)
        return json.loads(run.stdout)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()

    def tell_log(self) -> None:
        sys.stderr.write((self.folder / "log").read_text(errors="replace")[-4000:])


def attack(told: dict, arguments, work: pathlib.Path, folder: pathlib.Path) -> int:
    url = told["url"]
    accounts = folder / "accounts.json"
    headers = {
        name: [{"name": "Authorization", "value": f"Bearer {token(url, told[name])}"}] for name in (*ACCOUNTS, STRANGER)
    }
    accounts.write_text(json.dumps({"auth": [{"name": name, "fixedHeaders": sent} for name, sent in headers.items()]}))
    examples = max(1, -(-arguments.cases // (len(ACCOUNTS) * CASES_AN_EXAMPLE)))
    runs = []
    try:
        for name in ACCOUNTS:
            runs.append(Run(name, told, arguments.seed, examples, accounts, work))
        failed = [run.account for run in runs if run.process.wait() != 0]
    finally:
        for run in runs:
            run.process.terminate()
    cases, statuses = 0, Statuses()
    for run in runs:
        print(f"\n---- as {run.account} " + "-" * 60)
        print(run.output())
        cases += run.count(statuses)
    statuses.print()
    print(f"\n{cases} cases, seed {arguments.seed}, {examples} examples for an operation and account")
    if failed:
        print(f"FAILED as {', '.join(failed)}: see above, and the requests in {work}")
        return 1
    if cases < arguments.cases:
        print(f"FAILED: fewer than the {arguments.cases} cases that were asked for")
        return 1
    return 0


def token(url: str, app: dict) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": app["clientId"],
        "client_secret": app["clientSecret"],
    }
    with urllib.request.urlopen(f"{url}/oauth2/token", urllib.parse.urlencode(form).encode(), timeout=30) as answer:
        return json.load(answer)["access_token"]


class Run:
    """Schemathesis as one account, with its configuration, its report and what it says."""

    def __init__(self, account: str, told: dict, seed: int, examples: int, accounts: pathlib.Path, work: pathlib.Path):
        self.account = account
        self.report, self.said = work / f"{account}.ndjson", work / f"{account}.txt"
        now = datetime.datetime.now(datetime.timezone.utc)
        day = datetime.timedelta(days=1)
        values = {
            "HOOKS": HERE / "hooks.py",
            "ACCOUNTS": accounts,
            "ACCOUNT": account,
            "CLIENT_ID": told[account]["clientId"],
            "CLIENT_SECRET": told[account]["clientSecret"],
            "ORDER": told["orders"][0]["orderId"],
            "SOON": f"{now + day:%Y-%m-%dT%H:%M:%S}",
            "LATER": f"{now + 300 * day:%Y-%m-%dT%H:%M}",
            "TODAY": f"{now:%Y-%m-%d}",
        }
        text = (HERE / "schemathesis.toml").read_text()
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        config = accounts.parent / f"{account}.toml"
        config.write_text(text)
        command = [
            str(pathlib.Path(sys.executable).parent / "st"),
            *("--config-file", str(config)),
            *("run", str(ROOT / "openapi.json"), "--url", told["url"]),
            *("--seed", str(seed), "--max-examples", str(examples)),
            *("--report", "ndjson", "--report-ndjson-path", str(self.report), "--no-color", "--warnings", "off"),
        ]
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                command, cwd=work, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT
            )

    def output(self) -> str:
        return self.said.read_text(errors="replace").strip()

    def count(self, statuses: "Statuses") -> int:
        """The cases that were sent; adds what was answered to `statuses`."""
        cases = 0
        if not self.report.exists():
            return cases
        with self.report.open() as report:
            for line in report:
                recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder") or {}
                for case_id, interaction in recorder.get("interactions", {}).items():
                    case = recorder.get("cases", {}).get(case_id, {}).get("value", {})
                    response = interaction.get("response") or {}
                    statuses.add(case.get("method"), case.get("path"), response.get("status_code", "none"))
                    cases += 1
        return cases


class Statuses:
    """What was answered by operation: a run in which all requests are refused early shows little."""

    def __init__(self):
        document = json.loads((ROOT / "openapi.json").read_text())
        paths = document["paths"]
        self.rows = {f"{method.upper()} {path}": collections.Counter() for path in paths for method in paths[path]}
        self.rows["all"] = collections.Counter()

    def add(self, method: str | None, path: str | None, status) -> None:
        label = f"{method} {path}" if f"{method} {path}" in self.rows else "methods that don't exist"
        for row in (label, "all"):
            self.rows.setdefault(row, collections.Counter())[status] += 1

    def print(self) -> None:
        seen = sorted({status for row in self.rows.values() for status in row}, key=str)
        rows = sorted(self.rows.items(), key=lambda row: (row[0] == "all", row[0].split(" ")[::-1]))
        width = max(len(label) for label in self.rows)
        print("\n" + "operation".ljust(width) + "".join(str(status).rjust(7) for status in seen))
        for label, row in rows:
            print(label.ljust(width) + "".join(str(row[status] or "").rjust(7) for status in seen))
        good = sum(count for status, count in self.rows["all"].items() if str(status).startswith("2"))
        print(f"{100 * good / max(1, sum(self.rows['all'].values())):.0f} % were answered with success")


if __name__ == "__main__":
    sys.exit(main())
