use super::*;
use crate::cli::ca::tests::{at_rest, global};
use clap::{Args as _, FromArgMatches as _};
use segwan_pki::custody::Passphrase;

struct Place {
    _parent: tempfile::TempDir,
    state: PathBuf,
    medium: PathBuf,
    phrase: PathBuf,
}

impl Place {
    fn new() -> Self {
        let parent = tempfile::tempdir().unwrap();
        let [state, medium, phrase] =
            ["state", "medium", "phrase"].map(|name| parent.path().join(name));
        at_rest(&state);
        std::fs::create_dir(&medium).unwrap();
        std::fs::write(&phrase, "correct horse battery\n").unwrap();
        Self { _parent: parent, state, medium, phrase }
    }

    fn rotate(&self, step: &str) -> Result<Exit, Failure> {
        let (medium, phrase) = (self.medium.to_str().unwrap(), self.phrase.to_str().unwrap());
        let given = ["root", step, "--root-key-out", medium, "--passphrase-file", phrase];
        let command = StepArgs::augment_args(clap::Command::new("root"));
        let matches = command.try_get_matches_from(given).unwrap();
        let parsed = StepArgs::from_arg_matches(&matches).unwrap();
        run(&Args { what: What::Root(parsed) }, &self.state, &global(&self.state))
    }

    fn at(&self) -> RotationAnswer {
        ask(&self.state, ROTATION, Nothing {}, rotation).unwrap()
    }

    /// What a kill leaves of `step` before anything could sign under the new root.
    fn begun(&self) -> String {
        let words = Passphrase::new("correct horse battery".to_owned()).unwrap();
        let new = Root::generate(&self.at().trust_domain, now_ms()).unwrap();
        new.export(&self.medium, &words).unwrap();
        let root = NewRoot { root: hex(new.certificate()), cross: None };
        ask(&self.state, PREPARE, root, prepare).unwrap().roots.pop().unwrap()
    }
}

// PKI-48, PKI-49
#[test]
fn a_command_that_broke_off_is_ended_by_saying_it_again() {
    for step in ["--prepare", "--compromised"] {
        let place = Place::new();
        let new = place.begun();
        assert!(place.at().waits.is_some());
        assert_eq!(place.rotate(step), Ok(Exit::Done), "{step}");
        let at = place.at();
        assert_eq!(at.waits, None, "{step}");
        assert!(at.roots.contains(&new), "{step}");
        assert_eq!(at.step == "steady", step == "--compromised");
        assert_eq!(local_key(&place.state).exists(), step == "--prepare");
    }
}

// PKI-48: a kill between the two leaves no Authority without a spare.
#[test]
fn a_command_that_broke_off_before_the_spare_is_ended_by_saying_it_again() {
    let place = Place::new();
    place.begun();
    let words = Passphrase::new("correct horse battery".to_owned()).unwrap();
    let at = place.at();
    let certificate = certificates(at.certificates.last().unwrap()).unwrap().remove(0);
    let key = place.medium.join("root.key.pem");
    let new = Root::open(&key, Some(&words), &certificate).unwrap();
    issuing_under(&new, &place.state, 1).unwrap();
    assert_eq!((place.at().issuing, place.at().waits), (1, None));
    assert_eq!(place.rotate("--prepare"), Ok(Exit::Done));
    assert_eq!(place.at().issuing, ISSUING);
    assert!(place.rotate("--prepare").is_err());
    assert_eq!(place.at().issuing, ISSUING);
}

#[test]
fn a_medium_with_a_key_keeps_it_and_another_is_asked_for() {
    for step in ["--prepare", "--compromised"] {
        let place = Place::new();
        let key = place.medium.join("root.key.pem");
        std::fs::write(&key, "somebody's").unwrap();
        let refused = place.rotate(step).unwrap_err();
        let (sentence, hint) = refused.sentence().unwrap();
        assert!(sentence.ends_with("exists already"), "{sentence}");
        assert!(hint.unwrap().contains("a directory without one"), "{hint:?}");
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "somebody's");
        assert_eq!(place.at().step, "steady");
    }
}

// A lost medium keeps nobody in a rotation: nothing was signed under the root whose key was on it.
#[test]
fn a_new_root_whose_key_is_lost_is_given_up_for_another() {
    for step in ["--prepare", "--compromised"] {
        let place = Place::new();
        let (old, lost) = (place.at().roots.pop().unwrap(), place.begun());
        std::fs::remove_dir_all(&place.medium).unwrap();
        std::fs::create_dir(&place.medium).unwrap();
        assert_eq!(place.rotate(step), Ok(Exit::Done), "{step}");
        let at = place.at();
        assert!(!at.roots.contains(&lost), "{step}");
        assert_eq!((at.waits, at.roots.contains(&old)), (None, step == "--prepare"));
    }
}

#[test]
fn a_new_root_under_which_something_was_signed_is_not_given_up() {
    let place = Place::new();
    place.begun();
    let words = Passphrase::new("correct horse battery".to_owned()).unwrap();
    let certificate = certificates(place.at().certificates.last().unwrap()).unwrap().remove(0);
    let key = place.medium.join("root.key.pem");
    let new = Root::open(&key, Some(&words), &certificate).unwrap();
    issuing_under(&new, &place.state, 1).unwrap();
    std::fs::remove_file(&key).unwrap();
    let refused = place.rotate("--prepare").unwrap_err();
    let (sentence, hint) = refused.sentence().unwrap();
    assert!(sentence.ends_with("was begun"), "{sentence}");
    assert!(hint.unwrap().starts_with("`--root-key-out` names the directory"));
    // A stolen key does not wait for it: what signs is there.
    assert_eq!(place.rotate("--compromised"), Ok(Exit::Done));
    assert_eq!(place.at().step, "steady");
}

// PKI-49
#[test]
fn a_rotation_that_is_under_way_is_ended_by_an_expulsion() {
    let place = Place::new();
    assert_eq!(place.rotate("--prepare"), Ok(Exit::Done));
    let under_way = place.rotate("--prepare").unwrap_err();
    assert_eq!(under_way.sentence().unwrap().0, "a rotation is under way: prepared");
    let new = place.at().roots.pop();
    assert_eq!(place.rotate("--compromised"), Ok(Exit::Done));
    let at = place.at();
    assert_eq!((at.step.as_str(), at.roots.len()), ("steady", 1));
    assert_eq!(at.roots.first(), new.as_ref());
    assert!(!local_key(&place.state).exists());
}

#[test]
fn the_key_of_a_new_root_does_not_go_into_the_state() {
    let mut place = Place::new();
    place.medium = place.state.join("authority");
    let refused = place.rotate("--compromised").unwrap_err();
    assert!(refused.sentence().unwrap().0.ends_with("is inside the state"));
    assert_eq!(place.at().step, "steady");
}
