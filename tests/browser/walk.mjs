// Walks the recipient's pages as a person without a mouse: from the mail to the codes, on a phone and on a desk, in a
// light and in a dark room, once without scripts. axe looks at each page; pictures of all are left in PICTURES.
//
// Started by the test `slow_browser_…` with GIFTD_URL, CLIENT_ID and CLIENT_SECRET of a sandbox app, CHROMIUM, PICTURES.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { chromium } from 'playwright-core';

const { GIFTD_URL, CLIENT_ID, CLIENT_SECRET, CHROMIUM, PICTURES } = process.env;
const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

const SCREENS = [
  { name: 'phone', viewport: { width: 360, height: 740 }, colorScheme: 'light', locale: 'en-US' },
  { name: 'desk', viewport: { width: 1280, height: 800 }, colorScheme: 'dark', locale: 'en-US' },
  { name: 'phone-no-script', viewport: { width: 360, height: 740 }, colorScheme: 'dark', locale: 'ja-JP', javaScriptEnabled: false },
];

// --- the API, as an integrator uses it ---

let token;

async function api(method, target, body) {
  const answer = await fetch(GIFTD_URL + target, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const json = await answer.json();
  assert.ok(answer.ok, `${method} ${target}: ${answer.status} ${JSON.stringify(json)}`);
  return json.data;
}

async function logIn() {
  const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: CLIENT_ID, client_secret: CLIENT_SECRET });
  const answer = await fetch(`${GIFTD_URL}/oauth2/token`, { method: 'POST', body: form });
  token = (await answer.json()).access_token;
}

async function place(kind, productId, amount, email) {
  return api('POST', `/api/v1/orders/${kind}`, {
    idempotencyKey: randomUUID(),
    productId,
    sendTiming: { type: 'IMMEDIATE' },
    emailSetting: { senderName: 'Acme Corp', subject: 'A gift for you, {{firstName}}!', message: 'Thank you for your hard work.' },
    recipients: [{ email, firstName: 'Alice', amount }],
  });
}

/** The link in the newest mail to `email` that `wanted` matches; waits for it. */
async function linkInMail(email, wanted) {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    const mails = await api('GET', `/api/v1/sandbox/mails?to=${encodeURIComponent(email)}`);
    const link = mails.flatMap((mail) => mail.text.match(/https?:\/\/\S+/g) ?? []).find((found) => wanted.test(found));
    if (link) return link;
    await new Promise((wake) => setTimeout(wake, 100));
  }
  throw new Error(`no mail to ${email} with a link like ${wanted}`);
}

// --- the keyboard ---

/** Presses Tab until what has the focus is `selector`, and says so when it never is. */
async function tabTo(page, selector) {
  const passed = [];
  for (let presses = 0; presses < 80; presses += 1) {
    await page.keyboard.press('Tab');
    const there = await page.evaluate((wanted) => {
      const focused = document.activeElement;
      const text = (focused.innerText || focused.value || focused.name || focused.tagName).trim().slice(0, 40);
      return { is: focused.matches(wanted), text };
    }, selector);
    if (there.is) return;
    passed.push(there.text);
  }
  throw new Error(`Tab never came to ${selector} on ${page.url()}: ${passed.join(' | ')}`);
}

async function press(page, selector) {
  await tabTo(page, selector);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
}

// --- looking at a page ---

const seen = [];

async function look(page, screen, name) {
  await page.screenshot({ path: path.join(PICTURES, `${screen.name}-${String(seen.length + 1).padStart(2, '0')}-${name}.png`), fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${name} on ${screen.name} is ${wide} pixels too wide`);
  const bytes = (await page.content()).length;
  assert.ok(bytes < 50_000, `${name} has ${bytes} characters`);
  if (screen.javaScriptEnabled !== false) {
    const { violations } = await page.evaluate(() =>
      window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
    const told = violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html).join(' ')}`);
    assert.deepEqual(told, [], `axe on ${name}, ${screen.name}`);
  }
  seen.push(`${screen.name}: ${name}`);
}

async function open(browser, screen) {
  const { name, ...settings } = screen;
  const context = await browser.newContext({ ...settings, reducedMotion: 'reduce' });
  if (screen.javaScriptEnabled !== false) await context.addInitScript({ path: axe });
  // Pages load from their own host and from nowhere else.
  const elsewhere = [];
  context.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(GIFTD_URL) && !url.startsWith('data:')) elsewhere.push(url);
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('console', (message) => message.type() === 'error' && wrong.push(message.text()));
  return { context, page, close: async () => { assert.deepEqual({ elsewhere, wrong }, { elsewhere: [], wrong: [] }); await context.close(); } };
}

const text = (page, selector) => page.locator(selector).allInnerTexts();

// --- the walks ---

/** From the gift's mail to the opened gift. */
async function verify(page, screen, email) {
  await page.goto(await linkInMail(email, /\/r\/[^/]+$/));
  await look(page, screen, 'covered');
  const before = await page.content();
  assert.ok(!before.includes('hard work') && !before.includes(email), 'a stranger reads neither message nor address');
  await press(page, '#verification-form button');
  await look(page, screen, 'mail-on-its-way');
  const link = await linkInMail(email, /\/verify\//);
  await page.goto(link);
  await look(page, screen, 'verify');
  await press(page, '#verify-form button');
  assert.match(await page.content(), /hard work/);
  return link;
}

async function branded(browser, screen) {
  const email = `branded-${screen.name}@example.com`;
  await place('branded-cards', '10042', 50.0, email);
  const { page, close } = await open(browser, screen);
  const link = await verify(page, screen, email);
  await look(page, screen, 'branded-gift');
  await press(page, '#redeem-form button');
  await look(page, screen, 'branded-code');
  const codes = await text(page, '.code code');
  assert.match(codes[0], /^TEST-/);
  // Again, from the gift's page: the same code.
  await page.goto(await linkInMail(email, /\/r\/[^/]+$/));
  assert.deepEqual(await text(page, '.code code'), codes);
  await look(page, screen, 'branded-gift-used');
  // The verification was for one time and one browser.
  const stranger = await open(browser, screen);
  await stranger.page.goto(link);
  await press(stranger.page, '#verify-form button');
  assert.ok(!(await stranger.page.content()).includes(codes[0]), 'a used link opens nothing');
  await look(stranger.page, screen, 'verification-used');
  await stranger.context.close();
  await close();
}

async function choice(browser, screen) {
  const email = `choice-${screen.name}@example.com`;
  await place('choice-cards', '55', 100.0, email);
  const { page, close } = await open(browser, screen);
  await verify(page, screen, email);
  for (const pick of [1, 2]) {
    // All countries, so that two different brands are there whatever the browser prefers.
    await tabTo(page, '#country');
    await page.keyboard.press('Home');
    await press(page, '#country-form button');
    await look(page, screen, `choice-brands-${pick}`);
    await press(page, `.brands li:nth-child(${pick}) a`);
    await look(page, screen, `choice-amount-${pick}`);
    const radio = page.locator('input[type=radio]').first();
    if (await radio.count()) {
      await tabTo(page, 'input[type=radio]');
      await page.keyboard.press('Space');
    } else if (await page.locator('input[type=number]').count()) {
      await tabTo(page, 'input[type=number]');
      await page.keyboard.type(await page.locator('input[type=number]').getAttribute('min'));
    } else {
      await tabTo(page, 'select#amount');
      await page.keyboard.press('Home');
    }
    await press(page, '#amount-form button');
    await look(page, screen, `choice-confirm-${pick}`);
    await press(page, '#redeem-form button');
    await look(page, screen, `choice-code-${pick}`);
    assert.match((await text(page, '.code code'))[0], /^TEST-/);
    await page.goto(await linkInMail(email, /\/r\/[^/]+$/));
  }
  const names = await text(page, '.code h3');
  assert.equal(names.length, 2, `two codes: ${names}`);
  assert.equal(new Set(names).size, 2, `of two brands: ${names}`);
  await look(page, screen, 'choice-gift-with-codes');
  await close();
}

/** Pages that say no: each kindly, with its own status. */
async function refusals(browser, screen) {
  const email = `moved-${screen.name}@example.com`;
  const order = await place('branded-cards', '10042', 50.0, email);
  const { page, context } = await open(browser, screen);
  const visit = async (url, status, name) => {
    const answer = await page.goto(url);
    assert.equal(answer.status(), status, name);
    await look(page, screen, name);
  };
  await visit(`${GIFTD_URL}/r/${'A'.repeat(64)}`, 404, 'unknown');
  const link = await linkInMail(email, /\/r\/[^/]+$/);
  for (let mails = 0; mails < 3; mails += 1) {
    await page.goto(link);
    await press(page, '#verification-form button');
  }
  await page.goto(link);
  await press(page, '#verification-form button');
  assert.match(await page.locator('h1').innerText(), screen.locale === 'en-US' ? /enough mails/ : /./);
  await look(page, screen, 'too-many-mails');
  const moved = `new-${screen.name}@example.com`;
  await api('POST', `/api/v1/orders/${order.orderId}/resend`, { recipients: [{ email, updatedEmail: moved }] });
  const newLink = await linkInMail(moved, /\/r\/[^/]+$/);
  await visit(link, 404, 'dead-link');
  await api('POST', '/api/v1/sandbox/clock', { advance: 'P181D' });
  await visit(newLink, 410, 'expired');
  await context.close();
}

await rm(PICTURES, { recursive: true, force: true });
await mkdir(PICTURES, { recursive: true });
await logIn();
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] });
try {
  for (const screen of SCREENS) {
    await branded(browser, screen);
    await choice(browser, screen);
    await refusals(browser, screen);
  }
} finally {
  await browser.close();
}
console.log(`${seen.length} pages:\n${seen.join('\n')}`);
