//! `kubectl mail list`: what there is and how it stands, filtered and sorted. Next: `filter`, `column`.

mod column;
mod filter;

use std::{str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::json;

use self::{column::Column, filter::Pattern};
use crate::{Connect, Error, Exit, Kind, object::Object, out, table, time};

/// List MailServers, EmailProfiles, RoundTripPolicies and MailReceivers: all, or those that pass filters; the last edited first.
///
/// Columns: namespace, kind, name, address, state, ready, reason, age, host, target, title, editor, edited, id. Exit codes: 0 listed,
/// also where there is nothing; 2 bad usage, or the API server refuses.
#[derive(Args, Debug)]
pub struct List {
    /// Kinds: mailserver (ms), emailprofile (emp), roundtrippolicy (rtp), mailreceiver (mr), actor; all but actors if absent.
    #[arg(value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Look into all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Show only what holds TEXT in COLUMN, in any case. In TEXT , is or, & is and, ! before a part is not, \ takes the next
    /// character as it is. If given more than once, all must hold.
    #[arg(long, value_name = "COLUMN=TEXT")]
    filter: Vec<Filter>,
    /// Show only what was edited not longer ago: all, minute, hour, day, week, month, year, or a duration such as 90m or 2d.
    #[arg(long, value_name = "DURATION", value_parser = within)]
    edited_within: Option<Within>,
    /// Sort by this column: edited puts the last edit first, age the youngest, all others go by the alphabet. What is alike in it goes by
    /// namespace and name.
    #[arg(long, value_name = "COLUMN", default_value = "edited")]
    sort: Column,
    /// Turn the order around.
    #[arg(long)]
    reverse: bool,
    /// The form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// The forms of output.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Table,
    Wide,
    Name,
    Json,
    Yaml,
}

/// A column, and what its cells must be like.
#[derive(Clone, Debug)]
struct Filter {
    column: Column,
    pattern: Pattern,
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (column, text) = text.split_once('=').ok_or_else(|| "write it like reason=refused".to_owned())?;
        let pattern = Pattern::read(text).map_err(|fault| fault.to_string())?;
        Ok(Self { column: column.parse()?, pattern })
    }
}

/// How long ago the last edit may be; none: any time.
#[derive(Clone, Copy, Debug)]
struct Within(Option<Duration>);

fn within(text: &str) -> Result<Within, String> {
    let days = match text {
        "all" => return Ok(Within(None)),
        "minute" => return Ok(Within(Some(Duration::from_mins(1)))),
        "hour" => return Ok(Within(Some(Duration::from_hours(1)))),
        "day" => 1,
        "week" => 7,
        "month" => 30,
        "year" => 365,
        other => return time::duration(other).map(|duration| Within(Some(duration))),
    };
    Ok(Within(Some(Duration::from_hours(24 * days))))
}

/// The names of all columns.
pub fn columns() -> Vec<&'static str> {
    Column::ALL.map(Column::name).to_vec()
}

impl List {
    pub async fn run(self, connect: &Connect) -> Result<Exit, Error> {
        let (client, namespace) = connect.client().await?;
        let kinds = if self.kinds.is_empty() { Kind::NAMESPACED.to_vec() } else { self.kinds.clone() };
        let space = Some(namespace.as_str()).filter(|_| !self.all_namespaces);
        let all = kinds.into_iter().map(|kind| Object::all(&client, kind, space));
        let mut objects: Vec<Object> = futures::future::try_join_all(all).await?.into_iter().flatten().collect();
        let now = Timestamp::now();
        objects.retain(|object| self.shows(object, now));
        self.order(&mut objects, now);
        if objects.is_empty() && !matches!(self.output, Format::Json | Format::Yaml) {
            let place = if self.all_namespaces { "any namespace".to_owned() } else { format!("namespace {namespace}") };
            eprintln!("Nothing found in {place}.");
            return Ok(Exit::Good);
        }
        out::text(&self.told(&objects, now)?)?;
        Ok(Exit::Good)
    }

    /// Whether an object passes all filters.
    fn shows(&self, object: &Object, now: Timestamp) -> bool {
        let fresh = self
            .edited_within
            .and_then(|within| within.0)
            .is_none_or(|within| object.edit().is_some_and(|edit| now.duration_since(edit.at).unsigned_abs() <= within));
        fresh && self.filter.iter().all(|Filter { column, pattern }| pattern.passes(&column.cell(object, now)))
    }

    fn order(&self, objects: &mut [Object], now: Timestamp) {
        // What is alike in the column stands the same way each time: sorting by it keeps this order.
        objects.sort_by_cached_key(|object| (object.namespace(), object.name(), object.kind));
        match self.sort {
            Column::Edited => objects.sort_by_cached_key(|object| std::cmp::Reverse(object.edit().map(|edit| edit.at))),
            Column::Age => objects.sort_by_cached_key(|object| std::cmp::Reverse(object.created())),
            column => objects.sort_by_cached_key(|object| column.cell(object, now).to_lowercase()),
        }
        if self.reverse {
            objects.reverse();
        }
    }

    fn told(&self, objects: &[Object], now: Timestamp) -> Result<String, Error> {
        let lines = match self.output {
            Format::Table => table::lines(&self.rows(&Column::ALL[..Column::NARROW], objects, now)),
            Format::Wide => table::lines(&self.rows(&Column::ALL, objects, now)),
            Format::Name => objects.iter().map(full_name).collect(),
            Format::Json => return Ok(serde_json::to_string_pretty(&raw(objects))? + "\n"),
            Format::Yaml => return Ok(serde_yaml::to_string(&raw(objects))?),
        };
        Ok(lines.join("\n") + "\n")
    }

    fn rows(&self, columns: &[Column], objects: &[Object], now: Timestamp) -> Vec<Vec<String>> {
        let shown = columns.iter().filter(|column| self.all_namespaces || **column != Column::Namespace);
        let shown: Vec<&Column> = shown.collect();
        let head = shown.iter().map(|column| column.name().to_uppercase()).collect();
        let rows = objects.iter().map(|object| shown.iter().map(|column| column.cell(object, now)).collect());
        std::iter::once(head).chain(rows).collect()
    }
}

/// Such as mailserver.mailverity.dev/relay, which kubectl takes as it is.
fn full_name(object: &Object) -> String {
    format!("{}.{}/{}", object.kind.singular(), object.kind.resource().group, object.name())
}

/// The objects as they are stored, without what the API server notes of field managers, which kubectl does not show either.
fn raw(objects: &[Object]) -> serde_json::Value {
    let items = objects.iter().map(|object| {
        let mut raw = object.raw.clone();
        raw.metadata.managed_fields = None;
        raw
    });
    json!({"apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::Value;

    use super::*;
    use crate::object::tests::object;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        list: List,
    }

    fn list(args: &[&str]) -> List {
        Line::try_parse_from([&["list"], args].concat()).unwrap().list
    }

    fn refusal(args: &[&str]) -> String {
        let refused = Line::try_parse_from([&["list"], args].concat()).err().unwrap();
        assert_eq!(refused.exit_code(), 2);
        refused.to_string()
    }

    fn ready(status: &str, reason: &str) -> Value {
        let ready = json!({"type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-11-22T10:00:00Z"});
        json!({"state": "Active", "conditions": [ready]})
    }

    fn fleet() -> Vec<Object> {
        let mut young = object(Kind::MailServer, "b-relay", &json!({"host": "smtp.b.example"}), &ready("True", "Succeeded"));
        young.raw.metadata.creation_timestamp = serde_json::from_value(json!("2026-11-22T09:00:00Z")).unwrap();
        let old = object(Kind::MailServer, "a-relay", &json!({"host": "smtp.a.example"}), &ready("False", "ConnectionRefused"));
        vec![young, old, object(Kind::RoundTripPolicy, "echo", &json!({"to": "echo@b.example"}), &json!({}))]
    }

    fn names(args: &[&str]) -> Vec<String> {
        let (list, mut objects, now) = (list(args), fleet(), "2026-11-22T10:00:00Z".parse().unwrap());
        objects.retain(|object| list.shows(object, now));
        list.order(&mut objects, now);
        objects.iter().map(Object::name).collect()
    }

    #[test]
    fn all_filters_must_hold() {
        assert_eq!(names(&["--filter", "reason=refused,succ"]), ["b-relay", "a-relay"]);
        assert_eq!(names(&["--filter", "address=B.EXAMPLE", "--filter", "kind=mailserver"]), ["b-relay"]);
        assert_eq!(names(&["--filter", "ready=!true"]), ["a-relay", "echo"], "what has no value holds no text");
    }

    #[test]
    fn the_last_edit_comes_first_if_nothing_else_is_said() {
        assert_eq!(names(&[]), ["b-relay", "a-relay", "echo"]);
        assert_eq!(names(&["--sort", "edited"]), names(&[]));
        assert_eq!(names(&["--reverse"]), ["echo", "a-relay", "b-relay"]);
    }

    #[test]
    fn other_columns_go_by_the_alphabet_and_what_is_alike_by_namespace_and_name() {
        assert_eq!(names(&["--sort", "name"]), ["a-relay", "b-relay", "echo"]);
        assert_eq!(names(&["--sort", "kind"]), ["a-relay", "b-relay", "echo"]);
        assert_eq!(names(&["--sort", "age", "--reverse"]), ["echo", "a-relay", "b-relay"]);
        assert_eq!(names(&["--sort", "reason"]), ["echo", "a-relay", "b-relay"]);
    }

    #[test]
    fn what_was_edited_in_the_same_second_goes_by_namespace_and_name() {
        let placed = |namespace: &str, kind, name: &str| {
            let mut placed = object(kind, name, &json!({}), &json!({}));
            placed.raw.metadata.namespace = Some(namespace.to_owned());
            placed
        };
        let mut objects = vec![
            placed("b", Kind::MailServer, "a"),
            placed("a", Kind::MailServer, "z"),
            placed("a", Kind::RoundTripPolicy, "b"),
            placed("a", Kind::EmailProfile, "z"),
        ];
        list(&[]).order(&mut objects, Timestamp::UNIX_EPOCH);
        let order: Vec<_> =
            objects.iter().map(|object| format!("{}/{} {}", object.namespace(), object.name(), object.kind)).collect();
        assert_eq!(order, ["a/b RoundTripPolicy", "a/z MailServer", "a/z EmailProfile", "b/a MailServer"]);
    }

    #[test]
    fn an_edit_within_a_time_is_counted_from_now() {
        assert_eq!(names(&["--edited-within", "hour"]), ["b-relay"]);
        assert_eq!(names(&["--edited-within", "2d"]), ["b-relay", "a-relay", "echo"]);
        assert_eq!(names(&["--edited-within", "30m"]), Vec::<String>::new());
        assert_eq!(names(&["--edited-within", "all"]).len(), 3);
    }

    #[test]
    fn a_table_tells_what_is_asked_for() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        let mut objects = fleet();
        let narrow = list(&[]);
        narrow.order(&mut objects, now);
        let told = narrow.told(&objects, now).unwrap();
        let lines: Vec<_> = told.lines().collect();
        assert_eq!(
            lines,
            [
                "KIND              NAME      ADDRESS          STATE    READY   REASON              AGE",
                "MailServer        b-relay   smtp.b.example   Active   True    Succeeded           60m",
                "MailServer        a-relay   smtp.a.example   Active   False   ConnectionRefused   2d",
                "RoundTripPolicy   echo      echo@b.example   -        -       -                   2d",
            ]
        );
        let wide = list(&["-A", "-o", "wide"]).told(&objects, now).unwrap();
        assert!(wide.starts_with("NAMESPACE   KIND ") && wide.contains("EDITED") && wide.contains("u-1"), "{wide}");
        let name = list(&["-o", "name"]).told(&objects[..1], now).unwrap();
        assert_eq!(name, "mailserver.mailverity.dev/b-relay\n");
    }

    #[test]
    fn programs_get_the_objects_as_they_are_stored() {
        let objects = &fleet()[..1];
        let json: Value = serde_json::from_str(&list(&["-o", "json"]).told(objects, Timestamp::now()).unwrap()).unwrap();
        assert_eq!((&json["kind"], &json["items"][0]["kind"]), (&"List".into(), &"MailServer".into()));
        assert_eq!(json["items"][0]["spec"]["host"], "smtp.b.example");
        let yaml = list(&["-o", "yaml"]).told(objects, Timestamp::now()).unwrap();
        assert_eq!(serde_yaml::from_str::<Value>(&yaml).unwrap(), json);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_can() {
        let port = refusal(&["--filter", "port=25"]);
        assert!(port.contains("port is no column: namespace, kind, name, address, state"), "{port}");
        assert!(refusal(&["--filter", "reason=!"]).contains("! needs a text behind it"));
        assert!(refusal(&["--filter", "reason"]).contains("write it like reason=refused"));
        assert!(refusal(&["--sort", "size"]).contains("size is no column"));
        assert!(refusal(&["--edited-within", "fortnight"]).contains("is not a duration"));
        assert!(refusal(&["services"]).contains("services is no kind of ours"));
    }
}
