//! Reading an archive: what is in it is unpacked beside, and proved against its manifest.

use super::super::keys::IssuingKey;
use super::super::roots::Roots;
use super::tar::Files;
use super::{AuthorityError, DATABASE, FORMAT, MANIFEST, Manifest, ROOT, of_copy, refused};
use crate::custody::{Passphrase, certificates, read_key};
use crate::directory::{DirectoryError, make_private, write_private};
use crate::key::{hex, sha256};
use crate::store::Store;
use crate::x509::Authority as Signing;
use aws_lc_rs::digest;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// Most files of an archive, most bytes of a small one and of the store.
const FILES: usize = 1000;
const SMALL: u64 = 16 << 20;
const LARGEST: u64 = 64 << 30;

/// An archive whose parts fit each other.
pub struct Proved {
    /// What it says of itself.
    pub manifest: Manifest,
    /// How many lines its ledger has, each chained to the one before.
    pub lines: usize,
    pub(super) root: Vec<u8>,
    pub(super) keys: Vec<IssuingKey>,
}

/// Unpacks an archive into a folder that is empty, and proves it: the manifest names each file and
/// no other, with its hash; each key opens, belongs to its certificate and that to the root; the
/// ledger is whole, and its head, the epoch and the lists are those of the manifest.
pub(super) async fn proved(
    from: &Path,
    passphrase: &Passphrase,
    folder: &Path,
) -> Result<Proved, AuthorityError> {
    let manifest = unpack(from, folder)?;
    let text = |name: &str| crate::custody::text(&folder.join(name));
    let root = certificates(&text(ROOT)?)?.into_iter().next();
    let root = root.ok_or_else(|| refused("the backup holds no root certificate"))?;
    let store = Store::open(&folder.join(DATABASE), false).await?;
    let read = against(&store, &manifest).await;
    let roots = Roots::read(&store, &root).await.and_then(|roots| roots.believed());
    let rows = store.issuing_keys().await;
    store.close().await;
    let (lines, mut keys, believed) = (read?, Vec::new(), roots?);
    let known: Vec<_> = believed.roots.into_iter().chain(believed.former).collect();
    if known.first() != Some(&root) {
        return Err(refused("the root certificate of the backup is not the one of its store"));
    }
    for row in rows? {
        let place = folder.join("issuing").join(&row.id);
        let key = read_key(&place.join("key.pem"), Some(passphrase))?;
        let certificate = certificates(&crate::custody::text(&place.join("cert.pem"))?)?;
        let der = certificate.into_iter().next().unwrap_or_default();
        let key = IssuingKey::of(Signing { der, key }, row.state, &known)
            .map_err(|why| refused(format!("issuing key {} of the backup: {why}", row.id)))?;
        if key.id != row.id {
            return Err(refused(format!("issuing key {} of the backup is another", row.id)));
        }
        keys.push(key);
    }
    let held = manifest.files.keys().filter(|name| name.ends_with("/key.pem")).count();
    if keys.is_empty() || held != keys.len() {
        return Err(refused("the backup does not hold the issuing keys that its store names"));
    }
    Ok(Proved { manifest, lines, root, keys })
}

/// Compares the store with the manifest, and walks its ledger.
async fn against(store: &Store, manifest: &Manifest) -> Result<usize, AuthorityError> {
    let mut lists = BTreeMap::new();
    let is = of_copy(store, &mut lists).await?;
    let same = is.schema == manifest.schema
        && is.epoch == manifest.epoch
        && is.ledger == manifest.ledger
        && is.trust_domain == manifest.trust_domain
        && is.crls == manifest.crls;
    let hashed = |(name, bytes): (&String, &Vec<u8>)| {
        manifest.files.get(name).is_some_and(|hash| *hash == hex(&sha256(bytes)))
    };
    if !same || !lists.iter().all(hashed) {
        return Err(refused("the manifest of the backup is not the one of its store"));
    }
    super::super::looking::verify_ledger(store).await
}

fn unpack(from: &Path, folder: &Path) -> Result<Manifest, AuthorityError> {
    let bad = |why: String| refused(format!("`{}` is no backup: {why}", from.display()));
    let file = File::open(from).map_err(|e| DirectoryError::io(from, &e))?;
    let mut files = Files::new(BufReader::new(file));
    let mut small = first_content(&mut files, MANIFEST).map_err(&bad)?;
    let manifest: Manifest = serde_json::from_slice(&small)
        .map_err(|_| bad("its manifest cannot be read".to_owned()))?;
    if manifest.format != FORMAT || manifest.files.len() > FILES {
        return Err(bad(format!("its form {} is unknown here", manifest.format)));
    }
    let mut seen = 0;
    while let Some((name, size)) = files.next().map_err(&bad)? {
        let Some(expected) = manifest.files.get(&name) else {
            return Err(bad("it holds a file that its manifest does not name".to_owned()));
        };
        let most = if name == DATABASE { LARGEST } else { SMALL };
        if size > most || !is_plain(&name) {
            return Err(bad("it holds a file that no backup has".to_owned()));
        }
        let path = folder.join(&name);
        if let Some(parent) = path.parent() {
            make_private(parent)?;
        }
        if name == DATABASE {
            write_private(&path, b"")?;
            let io = |error: std::io::Error| DirectoryError::io(&path, &error);
            let mut to = File::options().write(true).open(&path).map_err(io)?;
            files.content(size, &mut to).map_err(io)?;
            to.sync_all().map_err(io)?;
        } else {
            small.clear();
            files.content(size, &mut small).map_err(|error| bad(error.to_string()))?;
            write_private(&path, &small)?;
        }
        if hash_of(&path)? != *expected {
            return Err(bad(format!("`{name}` is not as its manifest says")));
        }
        seen += 1;
    }
    if seen != manifest.files.len() {
        return Err(bad("it does not hold every file that its manifest names".to_owned()));
    }
    Ok(manifest)
}

/// The content of the first file, which has to have this name.
fn first_content<R: Read>(files: &mut Files<R>, name: &str) -> Result<Vec<u8>, String> {
    match files.next()? {
        Some((first, size)) if first == name && size <= SMALL => {
            let mut content = Vec::new();
            files.content(size, &mut content).map_err(|error| error.to_string())?;
            Ok(content)
        }
        _ => Err(format!("`{name}` is not its first file")),
    }
}

/// The names that a backup has: nothing that leads anywhere else.
fn is_plain(name: &str) -> bool {
    let id = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    match name.split('/').collect::<Vec<_>>().as_slice() {
        [one] => [DATABASE, ROOT].contains(one),
        ["crl", list] => list.strip_suffix(".der").is_some_and(id),
        ["issuing", key, "key.pem" | "cert.pem"] => id(key),
        _ => false,
    }
}

/// SHA-256 of a file in lower-case hex, read piece by piece.
pub(super) fn hash_of(path: &Path) -> Result<String, DirectoryError> {
    let io = |error: std::io::Error| DirectoryError::io(path, &error);
    let mut file = File::open(path).map_err(io)?;
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut piece).map_err(io)?;
        if read == 0 {
            return Ok(hex(hash.finish().as_ref()));
        }
        hash.update(piece.get(..read).unwrap_or_default());
    }
}
