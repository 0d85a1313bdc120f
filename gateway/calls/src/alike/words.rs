//! The words that count of a question. An embedding puts "refund order 1234" next to "refund order 1235", nearer than two
//! wordings of one question stand: what decides is often one word. So beside an embedding the words must agree: those that
//! count are the same, in the same order. What remains free is how something is asked: politely, as a question or an
//! order, with another auxiliary verb.

/// Words of English that say how is asked, not what for. Of other languages none are known: then more words must agree.
const PASSED_OVER: &[&str] = &[
    "a", "about", "an", "and", "any", "are", "as", "at", "be", "been", "by", "can", "could", "d", "did", "do", "does",
    "exactly", "for", "give", "has", "have", "hello", "hey", "hi", "i", "if", "in", "is", "it", "its", "just",
    "kindly", "know", "let", "like", "ll", "m", "me", "my", "of", "on", "please", "quickly", "re", "s", "see", "show",
    "so", "some", "tell", "thank", "thanks", "that", "the", "there", "these", "this", "to", "us", "ve", "want", "was",
    "we", "were", "what", "which", "will", "with", "would", "you",
];

/// Marks around words.
const AROUND: &[char] = &['.', ',', ';', ':', '?', '!', '(', ')', '[', ']', '{', '}', '"', '\'', '…', '¿', '¡'];

/// Marks between which words are meant as they stand.
const QUOTES: &[(char, char)] = &[('"', '"'), ('“', '”'), ('„', '“'), ('«', '»'), ('`', '`'), ('‘', '’'), ('\'', '\'')];

/// What counts of a question, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(Vec<String>);

impl Words {
    /// Those of `text`.
    pub(crate) fn of(text: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = text;
        while let Some((before, quoted, after)) = quoted(rest) {
            words_of(before, &mut words);
            // As it stands: a space in it may be what was meant.
            words.push(format!("\u{201c}{quoted}\u{201d}"));
            rest = after;
        }
        words_of(rest, &mut words);
        Self(words)
    }

    /// True if they say that these ask for the same; where nothing counts, nothing is said.
    pub(crate) fn agree(&self, other: &Self) -> bool {
        !self.0.is_empty() && self == other
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|word| size_of::<String>() + word.len()).sum()
    }
}

/// What stands before the first quotation, in it, and after it.
fn quoted(text: &str) -> Option<(&str, &str, &str)> {
    let mut before = ' ';
    for (at, mark) in text.char_indices() {
        // An apostrophe stands within a word.
        if !before.is_alphanumeric()
            && let Some((_, end)) = QUOTES.iter().find(|(begin, _)| *begin == mark)
        {
            let within = &text[at + mark.len_utf8()..];
            let closes = |(place, found): (usize, char)| {
                let follows = within[place + found.len_utf8()..].chars().next();
                (found == *end && !follows.is_some_and(char::is_alphanumeric)).then_some(place)
            };
            if let Some(length) = within.char_indices().find_map(closes).filter(|length| *length > 0) {
                return Some((&text[..at], &within[..length], &within[length + end.len_utf8()..]));
            }
        }
        before = mark;
    }
    None
}

fn words_of(text: &str, words: &mut Vec<String>) {
    for found in text.split_whitespace() {
        let plain = found.trim_matches(AROUND).replace('’', "'").to_lowercase();
        let (stem, is_denied) = match plain.strip_suffix("n't") {
            Some(stem) => (stem, true),
            None => (plain.split('\'').next().unwrap_or_default(), plain == "cannot"),
        };
        if !stem.is_empty() && !PASSED_OVER.contains(&stem) {
            words.push(singular(stem).to_owned());
        }
        if is_denied {
            words.push("not".to_owned());
        }
    }
}

fn singular(word: &str) -> &str {
    word.strip_suffix('s').filter(|rest| rest.len() > 2 && !rest.ends_with(['s', 'i', 'u'])).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn agree(one: &str, other: &str) -> bool {
        Words::of(one).agree(&Words::of(other))
    }

    #[test]
    fn other_wordings_of_a_question_agree() {
        for (one, other) in [
            ("What is the capital of France?", "Tell me the capital of France, please."),
            ("What is the capital of France?", "what's the capital of france"),
            ("How do I reset my password?", "how can I reset my password"),
            ("Show me the invoice for March", "I'd like to see the invoices for March"),
            ("List users with admin role", "Please list the users that have the admin role."),
        ] {
            assert!(agree(one, other), "{one} | {other}");
        }
    }

    #[test]
    fn one_word_that_decides_is_enough() {
        for (one, other) in [
            ("refund order 1234", "refund order 1235"),
            ("convert 10 EUR to USD", "convert 100 EUR to USD"),
            ("convert EUR to USD", "convert USD to EUR"),
            ("translate 'hello' to German", "translate 'hello' to French"),
            ("translate \"hello\" to German", "translate \"good bye\" to German"),
            ("flights from paris to london", "flights to paris from london"),
            ("cancel my subscription", "renew my subscription"),
            ("delete the account", "do not delete the account"),
            ("delete the account", "don't delete the account"),
            ("delete all accounts", "delete accounts"),
            ("users with a password", "users without a password"),
            ("a man bites a dog", "a dog bites a man"),
            ("is C++ fast", "is C fast"),
            ("what is x > y", "what is x < y"),
            ("when was she born", "where was she born"),
            ("install numpy", "install numpy on Windows"),
            ("sales in March", "sales in May"),
            ("five apples", "six apples"),
            ("10 kg", "10 lb"),
            ("top three users", "users"),
            ("你好", "再见"),
            ("what is it", "is that it"),
            ("remind me at 9 am", "remind me at 9 pm"),
            ("reset my password", "reset my admin password"),
            ("say \"the end\"", "say \"end\""),
        ] {
            assert!(!agree(one, other) && !agree(other, one), "{one} | {other}");
        }
    }

    proptest! {
        #[test]
        fn it_is_the_same_both_ways(one in "([a-c\"' 1.A]{0,9}( not|n't)?){0,3}", other in "([a-c\"' 1.A]{0,9}( not)?){0,3}") {
            prop_assert_eq!(agree(&one, &other), agree(&other, &one));
        }

        #[test]
        fn no_text_makes_it_panic(one in any::<String>(), other in any::<String>()) {
            let _ = agree(&one, &other);
        }
    }
}
