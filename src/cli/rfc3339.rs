//! Moments in time as RFC 3339 writes them.

use std::time::Duration;

use der::DateTime;

/// Seconds since the Unix epoch of a moment such as `2026-11-22T12:00:00Z`, `2026-11-22T13:00:00.5+01:00` or, short for
/// its midnight in UTC, `2026-11-22`. Parts of a second are cut off.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    seconds(text).ok_or_else(|| {
        format!("`{text}` is no moment in time: write it as in RFC 3339, like 2026-11-22T12:00:00Z")
    })
}

fn seconds(text: &str) -> Option<u64> {
    if text.len() == "2026-11-22".len() {
        return seconds(&format!("{text}T00:00:00Z"));
    }
    let upper = text.to_ascii_uppercase().replace(' ', "T");
    let (date_time, rest) = upper.split_at_checked("2026-11-22T12:00:00".len())?;
    let moment: DateTime = format!("{date_time}Z").parse().ok()?;
    let fraction = rest.strip_prefix('.').map(|digits| {
        let end = digits.find(|character: char| !character.is_ascii_digit()).unwrap_or(0);
        digits.split_at(end)
    });
    let zone = match fraction {
        Some(("", _)) => return None,
        Some((_, zone)) => zone,
        None => rest,
    };
    let moment = moment.unix_duration().as_secs();
    if zone == "Z" {
        return Some(moment);
    }
    let (sign, offset) = zone.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let number = |digits: &str, below: u64| {
        let is_number = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|number| is_number && *number < below)
    };
    let offset =
        number(hours, 24)?.checked_mul(3600)?.checked_add(number(minutes, 60)?.checked_mul(60)?)?;
    match sign {
        "+" => moment.checked_sub(offset),
        "-" => moment.checked_add(offset),
        _ => None,
    }
}

/// The moment in UTC, `None` beyond the year 9999.
pub(super) fn format(seconds: u64) -> Option<String> {
    DateTime::from_unix_duration(Duration::from_secs(seconds)).ok().map(|moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_moment_is_read() {
        for text in [
            "2026-11-22T12:00:00Z",
            "2026-11-22t12:00:00z",
            "2026-11-22 12:00:00Z",
            "2026-11-22T12:00:00.999Z",
            "2026-11-22T13:30:00+01:30",
            "2026-11-22T00:00:00.1-12:00",
        ] {
            assert_eq!(parse(text), Ok(1_795_348_800), "{text}");
        }
        assert_eq!(parse("2026-11-22"), Ok(1_795_305_600));
        assert_eq!(format(1_795_348_800).as_deref(), Some("2026-11-22T12:00:00Z"));
    }

    #[test]
    fn anything_else_is_no_moment() {
        for text in [
            "",
            "now",
            "1795348800",
            "2026-11-22T12:00",
            "2026-11-22T12:00:00",
            "2026-11-22T12:00:00.Z",
            "2026-11-22T12:00:00+0100",
            "2026-11-22T12:00:00+24:00",
            "2026-11-22T12:00:00+-1:00",
            "2026-11-22T12:00:00Zulu",
            "2026-02-30T12:00:00Z",
            "2026-11-22T25:00:00Z",
            "1970-01-01T00:00:00+01:00",
            "2026-11-2é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
