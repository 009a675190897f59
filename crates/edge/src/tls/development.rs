//! A certificate authority of our own, for development: made on first start and then kept, so that
//! a browser has to trust it only once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tidegate_core::clock::Timestamp;
use tidegate_core::file;
use tidegate_core::scope::hex;

use super::unusable;
use crate::cache::date::Civil;
use crate::error::Error;

const DAY: Duration = Duration::from_secs(86_400);
const AUTHORITY_DAYS: u32 = 3_650;
const LEAF_DAYS: u32 = 90;

/// A certificate with less time than this left is replaced at the next start.
const RENEW_DAYS: u32 = 30;

/// Always in the certificate.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What a certificate was made for, kept beside it so that no parser is needed to know.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    authority: String,
    names: Vec<String>,
    not_after: Timestamp,
}

/// The files of one directory.
struct Files<'a>(&'a Path);

/// Returns the paths of a certificate and its key that are valid now, making what is missing,
/// about to expire or for other names.
///
/// # Errors
/// The directory can't be used, or a file in it is not what it should be.
pub(crate) fn provide(
    directory: &Path,
    names: &[String],
    now: Timestamp,
) -> Result<(PathBuf, PathBuf), Error> {
    let files = Files(directory);
    fs::create_dir_all(directory).map_err(|error| unusable(directory, &error))?;
    let issuer = authority(&files, now)?;
    let names = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).chain(names.iter().cloned());
    let wanted = Made {
        authority: name_of(issuer.key()),
        names: names.collect(),
        not_after: now.after(DAY * LEAF_DAYS),
    };
    if !is_usable(&files, &wanted, now) {
        make_leaf(&files, &issuer, &wanted, now)?;
    }
    Ok((files.at("edge.pem"), files.at("edge.key")))
}

// === impl Files ===

impl Files<'_> {
    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.at(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&path, &error)),
        }
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), Error> {
        let path = self.at(name);
        file::replace(&path, text.as_bytes(), mode).map_err(|error| unusable(&path, &error))
    }
}

/// Loads the authority, or makes one.
fn authority(files: &Files<'_>, now: Timestamp) -> Result<Issuer<'static, KeyPair>, Error> {
    let path = files.at("ca.key");
    let failed = |error: rcgen::Error| unusable(&path, &error);
    let key = match files.read("ca.key")? {
        Some(pem) => KeyPair::from_pem(&pem).map_err(failed)?,
        None => {
            let key = KeyPair::generate().map_err(failed)?;
            files.write("ca.key", &key.serialize_pem(), file::PRIVATE)?;
            // A certificate that was left behind belongs to a key that is gone.
            make_authority(files, &key, now)?;
            key
        }
    };
    if files.read("ca.pem")?.is_none() {
        make_authority(files, &key, now)?;
    }
    Ok(Issuer::new(authority_params(&key), key))
}

fn make_authority(files: &Files<'_>, key: &KeyPair, now: Timestamp) -> Result<(), Error> {
    let mut params = authority_params(key);
    valid_for(&mut params, AUTHORITY_DAYS, now);
    let made = params.self_signed(key).map_err(|error| unusable(&files.at("ca.pem"), &error))?;
    files.write("ca.pem", &made.pem(), file::READABLE)
}

/// The authority's name follows from its key, so that the key alone is enough to sign with.
fn name_of(key: &KeyPair) -> String {
    let id = hex(&Sha256::digest(key.public_key_raw()));
    format!("Tidegate development authority {}", id.split_at(8).0)
}

fn authority_params(key: &KeyPair) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, name_of(key));
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    // It signs servers, and no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn is_usable(files: &Files<'_>, wanted: &Made, now: Timestamp) -> bool {
    let present = |name| matches!(files.read(name), Ok(Some(_)));
    let Ok(Some(text)) = files.read("edge.json") else { return false };
    let Ok(made) = serde_json::from_str::<Made>(&text) else { return false };
    present("edge.pem")
        && present("edge.key")
        && (&made.authority, &made.names) == (&wanted.authority, &wanted.names)
        && made.not_after > now.after(DAY * RENEW_DAYS)
}

fn make_leaf(
    files: &Files<'_>,
    issuer: &Issuer<'_, KeyPair>,
    wanted: &Made,
    now: Timestamp,
) -> Result<(), Error> {
    let failed = |error: rcgen::Error| unusable(&files.at("edge.pem"), &error);
    let mut params = CertificateParams::new(wanted.names.clone()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tidegate edge");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    valid_for(&mut params, LEAF_DAYS, now);
    let key = KeyPair::generate().map_err(failed)?;
    let leaf = params.signed_by(&key, issuer).map_err(failed)?;
    files.write("edge.key", &key.serialize_pem(), file::PRIVATE)?;
    files.write("edge.pem", &leaf.pem(), file::READABLE)?;
    // Last: without it, a half-made pair is made again.
    let made = serde_json::to_string(wanted).expect("plain data must serialize");
    files.write("edge.json", &made, file::READABLE)
}

/// Valid from yesterday, so that a clock that is a little behind accepts it.
fn valid_for(params: &mut CertificateParams, days: u32, now: Timestamp) {
    let date = |at: Timestamp| {
        let civil = Civil::from_days(at.seconds().div_euclid(86_400));
        date_time_ymd(i32::try_from(civil.year).unwrap_or(9_999), civil.month, civil.day)
    };
    params.not_before = date(now.before(DAY));
    params.not_after = date(now.after(DAY * days));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Timestamp = Timestamp(1_763_806_500_000_000);

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap()
    }

    #[test]
    fn a_certificate_is_kept_until_it_nears_its_end_or_names_change_and_the_authority_for_good() {
        let dir = tempfile::tempdir().unwrap();
        let made = |names: &[&str], now| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            provide(dir.path(), &names, now).unwrap();
            (read(dir.path(), "ca.pem"), read(dir.path(), "edge.pem"))
        };
        let (authority, first) = made(&[], NOW);
        assert_eq!(made(&[], NOW.after(DAY * 59)), (authority.clone(), first.clone()));
        let (kept, renewed) = made(&[], NOW.after(DAY * 61));
        assert_eq!(kept, authority);
        assert_ne!(renewed, first);
        let (kept, renamed) = made(&["edge.example"], NOW.after(DAY * 61));
        assert_eq!(kept, authority);
        assert_ne!(renamed, renewed);
    }

    #[test]
    fn keys_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        provide(dir.path(), &[], NOW).unwrap();
        for name in ["ca.key", "edge.key"] {
            let mode = fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_broken_authority_is_named_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ca.key"), "junk").unwrap();
        let error = provide(dir.path(), &[], NOW).unwrap_err().to_string();
        assert!(error.contains("ca.key"), "{error}");
        assert_eq!(read(dir.path(), "ca.key"), "junk");
    }
}
