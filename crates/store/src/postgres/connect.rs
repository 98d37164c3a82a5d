//! The way to the server: pools of connections, TLS as the URL says, and a limit on every wait.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use giftd_domain::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::Failure;
use super::operation::Connection;
use super::rows::Columns as _;
use crate::StoreError;

/// Connections of one node, but for the writer's.
const CONNECTIONS: usize = 15;
/// Seconds that connecting may take, and waiting for a free connection.
const CONNECT_SECONDS: u64 = 5;
/// Seconds after which the server ends a statement, a wait for a lock, or a transaction that we say nothing in:
/// before we give it up, so that nothing is held by what nobody waits for.
const STATEMENT_SECONDS: u64 = 15;
/// Seconds after which data that nobody acknowledges, or silence, counts as a broken connection.
const SILENCE_SECONDS: u64 = 15;

/// Where and how to connect.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Target {
    /// Reads the URL. Its `sslmode` means what it means to libpq: `disable`, `prefer` (the default) and
    /// `require` don't look at the server's certificate; `verify-full` does, against the system's
    /// authorities or those in the file `sslrootcert`.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let unusable = |what: String| StoreError::Schema(format!("the database URL can't be used: {what}").into());
        let (url, mode, root_file) = take_tls_parameters(url);
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            unusable(std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string))
        })?;
        let (ssl_mode, verified) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, false),
            None | Some("prefer") => (SslMode::Prefer, false),
            Some("require") => (SslMode::Require, false),
            Some("verify-full") => (SslMode::Require, true),
            Some(other) => {
                return Err(unusable(format!("sslmode is disable, prefer, require or verify-full, not {other}")));
            }
        };
        config.ssl_mode(ssl_mode);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(CONNECT_SECONDS));
        }
        config.keepalives_idle(Duration::from_secs(SILENCE_SECONDS));
        config.tcp_user_timeout(Duration::from_secs(SILENCE_SECONDS));
        if config.get_application_name().is_none() {
            config.application_name("giftd");
        }
        config.options(session_options(config.get_options()));
        let tls = tls_config(verified, root_file.as_deref()).map_err(unusable)?;
        Ok(Self { config, tls: MakeRustlsConnect::new(tls) })
    }

    /// A pool for most operations. Nothing connects before the first is asked for.
    pub(super) fn pool(&self) -> Result<Pool, StoreError> {
        self.pool_of(CONNECTIONS, self.config.clone())
    }

    /// The writer's own connection, so that readers can't starve it. It has few statements, and each takes a whole
    /// group: their plans are the same whatever the group, and making them anew each time is a twelfth of the work.
    pub(super) fn writer_pool(&self) -> Result<Pool, StoreError> {
        let mut config = self.config.clone();
        let options = self.config.get_options().unwrap_or_default();
        config.options(format!("-c plan_cache_mode=force_generic_plan {options}"));
        self.pool_of(1, config)
    }

    fn pool_of(&self, connections: usize, config: Config) -> Result<Pool, StoreError> {
        // A closed connection is seen without asking the server; what asking would find, the first statement finds.
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let wait = Some(Duration::from_secs(CONNECT_SECONDS));
        Pool::builder(Manager::from_config(config, self.tls.clone(), manager))
            .max_size(connections)
            .wait_timeout(wait)
            .create_timeout(wait.map(|wait| wait * 2))
            .recycle_timeout(wait)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Broken(error.to_string().into()))
    }
}

/// Settings of each session; those of the URL come behind them and win. Plans are pinned: all that serves
/// goes by an index whatever the statistics say, and compiling such statements never pays.
fn session_options(of_url: Option<&str>) -> String {
    let milliseconds = STATEMENT_SECONDS * 1000;
    format!(
        "-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} \
         -c idle_in_transaction_session_timeout={milliseconds} -c enable_seqscan=off -c jit=off {}",
        of_url.unwrap_or_default()
    )
}

/// Takes `sslmode` and `sslrootcert` out of the URL: tokio-postgres knows fewer of them than libpq.
fn take_tls_parameters(url: &str) -> (String, Option<String>, Option<String>) {
    let (mut mode, mut root_file) = (None, None);
    let Some((start, query)) = url.split_once('?') else { return (url.to_owned(), mode, root_file) };
    let mut others = Vec::new();
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => mode = Some(value.to_owned()),
            Some(("sslrootcert", value)) => root_file = Some(value.replace("%2F", "/")),
            _ => others.push(parameter),
        }
    }
    let url = if others.is_empty() { start.to_owned() } else { format!("{start}?{}", others.join("&")) };
    (url, mode, root_file)
}

fn tls_config(verified: bool, root_file: Option<&str>) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if verified {
        let roots = Arc::new(roots(root_file)?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider));
        verifier.build().map_err(|error| format!("no certificate authorities: {error}"))?
    } else {
        Arc::new(AnyCertificate(Arc::clone(&provider)))
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

fn roots(file: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates = match file {
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| format!("sslrootcert {file}: {error}"))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    Ok(roots)
}

/// Encryption without a look at who answers: what `prefer` and `require` ask for.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The server's clock.
pub(super) async fn database_time(connection: &Connection) -> Result<Timestamp, Failure> {
    let statement =
        connection.prepare_cached("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::BIGINT AS now").await?;
    connection.query_one(&statement, &[]).await?.instant("now")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> Option<SslMode> {
        Target::parse(url).ok().map(|target| target.config.get_ssl_mode())
    }

    #[test]
    fn tls_is_as_the_url_says() {
        let url = "postgres://u:p@h/d";
        assert_eq!(mode(url), Some(SslMode::Prefer));
        assert_eq!(mode(&format!("{url}?sslmode=disable")), Some(SslMode::Disable));
        assert_eq!(mode(&format!("{url}?connect_timeout=3&sslmode=require")), Some(SslMode::Require));
        assert_eq!(mode(&format!("{url}?sslmode=sometimes")), None);
        assert_eq!(mode(&format!("{url}?sslmode=verify-full&sslrootcert=/no/such/file")), None);
    }

    #[test]
    fn options_of_the_url_win() {
        let target = Target::parse("postgres://u@h/d?options=-c%20geqo%3Doff&application_name=x").expect("a target");
        let options = target.config.get_options().expect("options");
        assert!(options.starts_with("-c statement_timeout=15000") && options.ends_with(" -c geqo=off"), "{options}");
        assert_eq!(target.config.get_application_name(), Some("x"));
    }
}
