//! `segwan token`: one-time tokens for joining.

use super::ca::with_authority;
use super::columns::{Cell, Columns, plain};
use super::report::Look;
use super::status::{instant_and_distance, socket};
use super::{Exit, Failure, Global};
use crate::admin::wire::{self, TokenAnswer, TokenRequest};
use crate::admin::{Defaults, TTL, client, mint};
use segwan_core::contract::units;
use segwan_pki::directory::write_private;
use segwan_pki::enrollment::Token;
use segwan_pki::profile::Profile;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Make tokens for joining
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  segwan token new app
      register `app` as a client if nobody knows it, and print a token for half an hour
  segwan token new app --ttl 2h --out app.token
  segwan token new edge --profile peer --service orders
  segwan token new 'edge-{1..50}' --profile service --out tokens
      a fleet: one token in one file for each name
  segwan token show - < app.token

Exit codes: 0 done; 1 refused; 2 no token, or the state cannot be used.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a token; it is good once
    New(New),
    /// Show everything that a token says, but not its secret
    Show {
        /// The token; `-` reads it from standard input, where other users do not see it
        token: String,
    },
}

#[derive(Debug, clap::Args)]
struct New {
    /// Who is to join, such as `app`; `edge-{1..50}` is a fleet of 50
    name: String,
    /// What the certificate will be for: a client dials, a service listens, a peer does both
    #[arg(long, value_parser = ["client", "service", "peer"])]
    profile: Option<String>,
    /// How long the token can be used: 5m to 24h
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = units::duration)]
    ttl: Duration,
    /// A service that it is meant for; default: all. It says where to go, and permits nothing
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Write the token to a new file that only you can read, and do not print it; of a fleet, the
    /// directory of such files
    #[arg(long, value_name = "FILE|DIR")]
    out: Option<PathBuf>,
    /// Where the Authority will be reached, up to 4; needed only while no process serves the state
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// If the token cannot be made, or is none.
pub fn run(args: Args, global: &Global) -> Result<Exit, Failure> {
    match args.what {
        What::New(new) => make(new, global),
        What::Show { token } => show(&token, global),
    }
}

fn make(new: New, global: &Global) -> Result<Exit, Failure> {
    if let Some(names) = fleet(&new.name)? {
        return make_fleet(&names, new, global);
    }
    let New { name, profile, ttl, services, out, advertise } = new;
    if let Some(out) = out.as_deref().filter(|out| out.symlink_metadata().is_ok()) {
        return Err(Failure::cannot_start(format!("`{}` exists already", out.display())));
    }
    let request = TokenRequest {
        name,
        profile,
        ttl_seconds: (ttl != TTL).then_some(ttl.as_secs()),
        services: (!services.is_empty()).then_some(services),
        addresses: (!advertise.is_empty()).then_some(advertise),
    };
    let answer = ask(&global.state_dir(None)?, request)?;
    let TokenAnswer { token, name, profile, expires } = answer;
    let shown = match &out {
        None => {
            global.report.line(format_args!("{token}"));
            "TOKEN".to_owned()
        }
        Some(out) => {
            write_private(out, format!("{token}\n").as_bytes())?;
            format!("\"$(cat {})\"", out.display())
        }
    };
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let end = instant_and_distance(expires.saturating_mul(1000), now_ms);
    global.report.note(format_args!("good once, for `{name}` ({profile}), until {end}"));
    if Profile::named(&profile).is_some_and(Profile::dials) {
        global.report.note(format_args!(
            "elsewhere: segwan join {shown} --as {name} --listen 127.0.0.1:PORT"
        ));
    }
    Ok(Exit::Done)
}

/// Most names of a fleet: an Authority has no more tokens open.
const FLEET: u32 = 1000;

/// The names that `edge-{1..50}` stands for; none if it is one name.
fn fleet(pattern: &str) -> Result<Option<Vec<String>>, Failure> {
    let Some((before, rest)) = pattern.split_once('{') else { return Ok(None) };
    let bad = || {
        let pattern = segwan_core::audit::shown(pattern.as_bytes());
        Failure::cannot_start(format!("`{pattern}` is neither a name nor a fleet of names"))
            .hint(format!("`edge-{{1..50}}` is one; it has at most {FLEET}"))
    };
    let (range, after) = rest.split_once('}').ok_or_else(bad)?;
    let (first, last) = range.split_once("..").ok_or_else(bad)?;
    let number = |text: &str| text.parse::<u32>().map_err(|_| bad());
    let (first, last) = (number(first)?, number(last)?);
    if after.contains(['{', '}']) || first > last || last - first >= FLEET {
        return Err(bad());
    }
    Ok(Some((first..=last).map(|n| format!("{before}{n}{after}")).collect()))
}

/// One token in one file for each name. Files are looked at before the first token is made.
fn make_fleet(names: &[String], new: New, global: &Global) -> Result<Exit, Failure> {
    let New { profile, ttl, services, out, advertise, .. } = new;
    let Some(out) = out else {
        return Err(Failure::cannot_start("the tokens of a fleet are written to files")
            .hint("`--out DIR` says where"));
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&out).map_err(|error| {
        Failure::cannot_start(format!("`{}` cannot be made: {}", out.display(), error.kind()))
    })?;
    // `~` is in no name, so two names never share a file.
    let file = |name: &String| out.join(format!("{}.token", name.replace('/', "~")));
    if let Some(there) = names.iter().map(file).find(|file| file.symlink_metadata().is_ok()) {
        return Err(Failure::cannot_start(format!("`{}` exists already", there.display())));
    }
    let state = global.state_dir(None)?;
    let mut ends = 0;
    for (made, name) in names.iter().enumerate() {
        let request = TokenRequest {
            name: name.clone(),
            profile: profile.clone(),
            ttl_seconds: (ttl != TTL).then_some(ttl.as_secs()),
            services: (!services.is_empty()).then(|| services.clone()),
            addresses: (!advertise.is_empty()).then(|| advertise.clone()),
        };
        let answer = ask(&state, request)
            .inspect_err(|_| global.report.note(format_args!("{made} tokens were made")))?;
        write_private(&file(name), format!("{}\n", answer.token).as_bytes())?;
        ends = answer.expires;
    }
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let end = instant_and_distance(ends.saturating_mul(1000), now_ms);
    global.report.line(format_args!("{} tokens in {}", names.len(), out.display()));
    global.report.note(format_args!("each is good once, until {end}"));
    Ok(Exit::Done)
}

/// Asks the process that serves the state, or the Authority in it.
fn ask(state: &Path, request: TokenRequest) -> Result<TokenAnswer, Failure> {
    if client::is_served(&socket(state)) {
        return client::post(&socket(state), wire::TOKEN, &request);
    }
    if request.addresses.is_none() && state.join("authority").is_dir() {
        let sentence = format!(
            "no process serves `{}`, so nobody knows where its Authority will be reached",
            state.display()
        );
        return Err(Failure::cannot_start(sentence)
            .hint("start `segwan serve`, or say it with `--advertise HOST:PORT`"));
    }
    let now_ms = jiff::Timestamp::now().as_millisecond();
    with_authority(state, async |authority| {
        mint(authority, request, Defaults::default(), now_ms).await
    })
}

fn show(text: &str, global: &Global) -> Result<Exit, Failure> {
    let text = if text == "-" { from_stdin()? } else { text.to_owned() };
    let token = Token::parse(&text).map_err(|error| Failure::cannot_start(error.to_string()))?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let identity = token.identity().map_err(|e| Failure::cannot_start(e.to_string()))?;
    let ends_ms = token.expires.saturating_mul(1000);
    let end = instant_and_distance(ends_ms, now_ms);
    let mut columns = Columns::default();
    let mut fact = |name: &str, cell: Cell| columns.row([(Look::Dim, name.to_owned()), cell]);
    fact("for", plain(identity.to_string()));
    fact("authority", plain(token.addresses.join(", ")));
    fact("trust domain", plain(token.trust_domain.to_string()));
    fact("root", plain(&token.root));
    if ends_ms > now_ms {
        fact("ends", plain(end));
    } else {
        fact("ended", (Look::Bad, end));
    }
    fact("secret", plain("not shown"));
    columns.print(&global.report, 0);
    Ok(Exit::Done)
}

/// The token that was piped in; more than any token is not read.
fn from_stdin() -> Result<String, Failure> {
    const MOST: u64 = 4096;
    let mut text = String::new();
    std::io::stdin().lock().take(MOST).read_to_string(&mut text).map_err(|error| {
        Failure::cannot_start(format!("standard input cannot be read: {error}"))
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::ca::tests::{at_rest, global};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn new(name: &str) -> New {
        New {
            name: name.to_owned(),
            profile: None,
            ttl: TTL,
            services: Vec::new(),
            out: None,
            advertise: Vec::new(),
        }
    }

    #[test]
    fn a_state_at_rest_gives_a_token_once_it_is_said_where_the_authority_will_be() {
        let parent = tempfile::tempdir().unwrap();
        let (state, out) = (parent.path().join("state"), parent.path().join("app.token"));
        at_rest(&state);
        let global = global(&state);
        let refused = make(new("app"), &global).unwrap_err();
        let (sentence, hint) = refused.sentence().unwrap();
        assert!(sentence.contains("nobody knows where its Authority will be reached"));
        assert!(hint.unwrap().contains("--advertise HOST:PORT"));

        let advertise = vec!["10.0.0.5:7444".to_owned()];
        let ttl = Duration::from_secs(3600);
        let mut asked = New { advertise, out: Some(out.clone()), ttl, ..new("app") };
        assert_eq!(make(asked, &global), Ok(Exit::Done));
        assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&out).unwrap();
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.identity().unwrap().to_string(), "spiffe://shop.example/app");
        assert_eq!(token.addresses, ["10.0.0.5:7444"]);
        assert_eq!(show(&text, &global), Ok(Exit::Done));

        // A file that is there is not written over, and no token is spent on it.
        asked = New { out: Some(out.clone()), ..new("app") };
        let refused = make(asked, &global).unwrap_err();
        assert!(refused.sentence().unwrap().0.ends_with("exists already"));
        assert_eq!(std::fs::read_to_string(&out).unwrap(), text);
    }

    #[test]
    fn what_is_no_token_is_not_shown() {
        let parent = tempfile::tempdir().unwrap();
        let refused = show("hello", &global(parent.path())).unwrap_err();
        assert_eq!(refused.exit(), Exit::CannotStart);
        assert!(refused.sentence().unwrap().0.contains("is no join token"), "{refused:?}");
    }

    #[test]
    fn a_fleet_is_a_range_of_numbers_in_one_name() {
        let names = fleet("edge-{9..11}").unwrap().unwrap();
        assert_eq!(names, ["edge-9", "edge-10", "edge-11"]);
        assert_eq!(fleet("a/{1..1}/b").unwrap().unwrap(), ["a/1/b"]);
        assert_eq!(fleet("edge").unwrap(), None);
        for bad in ["e{", "e{1}", "e{1..}", "e{2..1}", "e{0..1000}", "e{-1..2}", "e{1..2}{1..2}"] {
            let refused = fleet(bad).unwrap_err();
            assert!(refused.sentence().unwrap().0.contains("nor a fleet"), "{bad}");
        }
        assert_eq!(fleet("e{0..999}").unwrap().unwrap().len(), 1000);
    }

    #[test]
    fn a_fleet_gets_a_file_for_each_name_and_nothing_is_written_over() {
        let parent = tempfile::tempdir().unwrap();
        let (state, out) = (parent.path().join("state"), parent.path().join("tokens"));
        at_rest(&state);
        let global = global(&state);
        let refused = make(new("edge-{1..3}"), &global).unwrap_err();
        assert!(refused.sentence().unwrap().0.contains("written to files"), "{refused:?}");
        let asked = || New {
            profile: Some("service".to_owned()),
            advertise: vec!["10.0.0.5:7444".to_owned()],
            out: Some(out.clone()),
            ..new("edge-{1..3}")
        };
        assert_eq!(make(asked(), &global), Ok(Exit::Done));
        assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        for n in 1..=3 {
            let file = out.join(format!("edge-{n}.token"));
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let token = Token::parse(&std::fs::read_to_string(&file).unwrap()).unwrap();
            assert_eq!(token.name, format!("edge-{n}"));
        }
        let refused = make(asked(), &global).unwrap_err();
        assert!(refused.sentence().unwrap().0.ends_with("exists already"));
    }
}
