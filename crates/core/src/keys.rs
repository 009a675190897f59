//! Ed25519 keys and signed documents.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::scope::hex;

/// A private signing key. Its `Debug` form shows only the key id.
pub struct PrivateKey(SigningKey);

/// A public key that signatures are checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Text with the signature of one key over its exact bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The signed text, kept verbatim: re-encoding it could change the bytes.
    pub document: String,
    /// Which key signed.
    pub key_id: String,
    /// Hex of the 64 signature bytes.
    pub signature: String,
}

/// Why a key or a signature was refused.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read or written.
    #[error("key file {path} can't be used")]
    File {
        /// Its path.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The text is not hex of the right length, or no point on the curve.
    #[error("not an ed25519 key; expected 64 hex digits")]
    NotAKey,
    /// The signature is not one of this key over this text.
    #[error("the signature does not match")]
    BadSignature,
}

// === impl PrivateKey ===

impl PrivateKey {
    /// Loads the key from `path`, or creates one there that only its owner can read.
    ///
    /// # Errors
    /// The file can't be used or does not hold a key.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.display().to_string(), source };
        match fs::read_to_string(path) {
            Ok(text) => Self::from_hex(text.trim()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = [0u8; 32];
                getrandom::fill(&mut seed).map_err(|error| failed(io::Error::other(error)))?;
                create_private_file(path, &hex(&seed)).map_err(failed)?;
                Ok(Self(SigningKey::from_bytes(&seed)))
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn from_hex(text: &str) -> Result<Self, KeyError> {
        let seed: [u8; 32] = unhex(text).ok_or(KeyError::NotAKey)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Returns the public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `document`.
    pub fn sign(&self, document: String) -> Signed {
        let signature = hex(&self.0.sign(document.as_bytes()).to_bytes());
        Signed { document, key_id: self.public().id(), signature }
    }
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.public().id())
    }
}

// === impl PublicKey ===

impl PublicKey {
    /// Parses 64 hex digits.
    ///
    /// # Errors
    /// It is no key.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let bytes: [u8; 32] = unhex(text).ok_or(KeyError::NotAKey)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| KeyError::NotAKey)
    }

    /// Writes the key as 64 hex digits.
    pub fn to_hex(&self) -> String {
        hex(self.0.as_bytes())
    }

    /// Returns a short name: the first 8 bytes of the key's SHA-256, hex.
    pub fn id(&self) -> String {
        hex(Sha256::digest(self.0.as_bytes()).get(..8).unwrap_or_default())
    }

    /// Returns the document if this key signed it.
    ///
    /// # Errors
    /// The signature is malformed or not this key's.
    pub fn verify<'a>(&self, signed: &'a Signed) -> Result<&'a str, KeyError> {
        let bytes: [u8; 64] = unhex(&signed.signature).ok_or(KeyError::BadSignature)?;
        self.0
            .verify_strict(signed.document.as_bytes(), &Signature::from_bytes(&bytes))
            .map_err(|_| KeyError::BadSignature)?;
        Ok(&signed.document)
    }
}

/// Creates `path` with mode 0600 and writes `text`; fails if it exists.
///
/// # Errors
/// The file exists or can't be written.
pub fn create_private_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Returns `bytes` random bytes as hex.
///
/// # Panics
/// The operating system has no randomness to give, so no secret may be made.
pub fn random_hex(bytes: usize) -> String {
    let mut random = vec![0u8; bytes];
    getrandom::fill(&mut random).expect("the operating system must provide randomness");
    hex(&random)
}

/// Reads exactly `N` bytes of hex.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0u8; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signer_s_exact_text_verifies() {
        let key = PrivateKey::from_hex(&"07".repeat(32)).unwrap();
        let other = PrivateKey::from_hex(&"08".repeat(32)).unwrap();
        let mut signed = key.sign("{\"epoch\":1}".to_owned());
        assert_eq!(key.public().verify(&signed).unwrap(), "{\"epoch\":1}");
        assert!(other.public().verify(&signed).is_err());
        signed.document.push(' ');
        assert!(key.public().verify(&signed).is_err());
    }

    #[test]
    fn debug_output_holds_no_key() {
        let key = PrivateKey::from_hex(&"07".repeat(32)).unwrap();
        assert!(!format!("{key:?}").contains("0707"));
    }
}
