//! TLS 1.2 and 1.3 for clients.

pub(crate) mod development;

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tidegate_core::clock::Timestamp;
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::error::Error;

/// Tried first, in this order: an AES-128 handshake costs a fifth less than an AES-256 one, and
/// no one breaks either.
const FIRST: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

/// Loads or makes the certificate and prepares for handshakes.
///
/// # Errors
/// A file can't be read, or its content can't be used.
pub(crate) fn acceptor(tls: &Tls, now: Timestamp) -> Result<TlsAcceptor, Error> {
    let (certificate, key) = match tls {
        Tls::Files { certificate, key } => (certificate.clone(), key.clone()),
        Tls::Development { directory, names } => development::provide(directory, names, now)?,
    };
    let chain = load_chain(&certificate)?;
    let private = PrivateKeyDer::from_pem_file(&key).map_err(|error| unusable(&key, &error))?;
    let versions = [&TLS13, &TLS12];
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&versions)
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| unusable(&certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    // Tickets hold the session, so that resumption works on every core and needs no memory; one is
    // enough, and making two costs a tenth of a handshake.
    config.send_tls13_tickets = 1;
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| unusable(&certificate, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let rank = |suite: &SupportedCipherSuite| {
        FIRST.iter().position(|first| *first == suite.suite()).unwrap_or(FIRST.len())
    };
    // Stable: the others keep their order.
    provider.cipher_suites.sort_by_key(rank);
    provider
}

fn load_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(path, &error))?;
    if chain.is_empty() {
        return Err(unusable(path, &"it holds no certificate"));
    }
    Ok(chain)
}

fn unusable(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::Tls { path: path.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_763_806_500_000_000);

    #[test]
    fn aes_128_is_preferred() {
        let suites = provider().cipher_suites;
        assert_eq!(suites[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(suites.len(), aws_lc_rs::default_provider().cipher_suites.len());
    }

    #[track_caller]
    fn check(certificate: &str, key: &str, file: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("cert.pem"), certificate).unwrap();
        std::fs::write(path("key.pem"), key).unwrap();
        let tls = Tls::Files { certificate: path("cert.pem"), key: path("key.pem") };
        let error = acceptor(&tls, NOW).err().unwrap().to_string();
        assert!(error.contains(file), "{error}");
    }

    #[test]
    fn an_unusable_file_is_named() {
        check("", "", "cert.pem");
        check("junk", "junk", "cert.pem");
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        check(&certificate, "junk", "key.pem");
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        check(&certificate, &other, "cert.pem");
    }

    #[test]
    fn a_missing_file_is_named() {
        let tls = Tls::Files { certificate: "/nowhere/c.pem".into(), key: "/nowhere/k.pem".into() };
        let error = acceptor(&tls, NOW).err().unwrap().to_string();
        assert!(error.contains("/nowhere/c.pem"), "{error}");
    }
}
