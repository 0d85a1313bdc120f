//! Lines that repeat but for their numbers, as logs have them: the first and the last of each kind stay, and how many there
//! were is said.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// Lines from which on it is looked for repetition.
const LINES_MIN: usize = 20;
/// Lines of a kind from which on those between are left out.
const REPEATS_MIN: usize = 4;

struct Seen {
    count: usize,
    last: usize,
}

/// `text` without the lines that say again what others do; none if no kind of line repeats often enough.
pub(super) fn folded(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() < LINES_MIN {
        return None;
    }
    let kinds: Vec<String> = lines.iter().map(|line| kind(line)).collect();
    let mut seen: HashMap<&str, Seen> = HashMap::new();
    for (number, kind) in kinds.iter().enumerate() {
        let seen = seen.entry(kind).or_insert(Seen { count: 0, last: number });
        (seen.count, seen.last) = (seen.count + 1, number);
    }
    let repeats = |kind: &str| seen.get(kind).filter(|seen| seen.count >= REPEATS_MIN && !kind.trim().is_empty());
    let left_out: usize = seen.keys().filter_map(|kind| repeats(kind)).map(|seen| seen.count - 2).sum();
    if left_out == 0 {
        return None;
    }
    let mut said =
        format!("[{left_out} of {} lines differ from others in numbers only and are left out]\n", lines.len());
    let mut begun: HashSet<&str> = HashSet::new();
    for (number, (line, kind)) in lines.iter().zip(&kinds).enumerate() {
        // Memory takes what is written to it.
        let _ = match repeats(kind) {
            None => writeln!(said, "{line}"),
            Some(seen) if begun.insert(kind) => writeln!(said, "{line} [first of {} alike]", seen.count),
            Some(seen) if seen.last == number => writeln!(said, "{line} [the last of these]"),
            Some(_) => Ok(()),
        };
    }
    Some(said)
}

/// A line with each word that holds a digit taken for the same.
fn kind(line: &str) -> String {
    let mut kind = String::with_capacity(line.len());
    let mut word = 0;
    let end = |kind: &mut String, from: usize, to: usize| {
        if let Some(word) = line.get(from..to) {
            kind.push_str(if word.contains(|letter: char| letter.is_ascii_digit()) { "#" } else { word });
        }
    };
    for (at, letter) in line.char_indices().filter(|(_, letter)| !letter.is_alphanumeric()) {
        end(&mut kind, word, at);
        kind.push(letter);
        word = at + letter.len_utf8();
    }
    end(&mut kind, word, line.len());
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_repeat_stand_there_twice() {
        let mut lines = vec!["starting".to_owned()];
        lines.extend((0..40).map(|n| format!("2026-11-30T10:00:{n:02}Z INFO request {n:x}7 took {n}ms")));
        lines.insert(20, "2026-11-30T10:00:19Z ERROR disk full".to_owned());
        let said = folded(&lines.join("\n")).unwrap();
        assert_eq!(
            said.lines().collect::<Vec<_>>(),
            [
                "[38 of 42 lines differ from others in numbers only and are left out]",
                "starting",
                "2026-11-30T10:00:00Z INFO request 07 took 0ms [first of 40 alike]",
                "2026-11-30T10:00:19Z ERROR disk full",
                "2026-11-30T10:00:39Z INFO request 277 took 39ms [the last of these]",
            ]
        );
        assert_eq!(folded(&said), None, "it is done once");
    }

    #[test]
    fn what_does_not_repeat_stays() {
        let letters = |n: usize| ('a'..='z').cycle().skip(n).take(5).collect::<String>();
        assert_eq!(folded(&(0..26).map(letters).collect::<Vec<_>>().join("\n")), None);
        assert_eq!(folded(&"line 1\n".repeat(LINES_MIN - 1)), None);
        assert_eq!(folded(&"\n".repeat(100)), None);
        assert!(folded(&"line 1\n".repeat(LINES_MIN)).is_some());
    }
}
