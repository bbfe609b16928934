//! Highlights: the part of a body that matches, with the matches marked.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::{Class, Term, Terms, Token};

/// How many bytes of a body a highlight shows, more or less.
const WIDTH: usize = 240;

/// How many bytes are shown before the first match, more or less.
const LEAD: usize = 40;

/// A word that matches.
struct Match {
    span: Range<usize>,
    /// The terms that it matches, one bit each.
    terms: u32,
}

/// Shows the part of a body in which the most terms match, as HTML with the matches in `<em>`.
///
/// All text is escaped. `tokens` are the body's. `None` where nothing matches.
#[must_use]
pub fn highlight(body: &str, tokens: &[Token], terms: &Terms) -> Option<String> {
    let matches = matches(tokens, terms);
    let shown = window(body, &matches)?;
    let mut html = String::with_capacity(shown.len() + 64);
    let mut at = shown.start;
    for span in merged(&matches) {
        let (Some(before), Some(inside)) = (
            body.get(at..span.start),
            body.get(span.clone()).filter(|_| span.end <= shown.end),
        ) else {
            continue;
        };
        escape(&mut html, before);
        html.push_str("<em>");
        escape(&mut html, inside);
        html.push_str("</em>");
        at = span.end;
    }
    escape(&mut html, body.get(at..shown.end).unwrap_or_default());
    Some(html)
}

fn matches(tokens: &[Token], terms: &Terms) -> Vec<Match> {
    let least: Vec<Option<Class>> = terms
        .as_slice()
        .iter()
        .map(|term| least_class(term, tokens))
        .collect();
    let mut matches = Vec::new();
    for token in tokens {
        let mut bits = 0;
        for (index, (term, least)) in terms.as_slice().iter().zip(&least).enumerate() {
            let class = Class::of(&term.word, token.word.as_str());
            if class.is_some() && class >= *least {
                bits |= 1 << index;
            }
        }
        if bits != 0 {
            matches.push(Match {
                span: token.span.clone(),
                terms: bits,
            });
        }
    }
    matches
}

/// The lowest class in which a term's matches are marked.
///
/// In a script without spaces it is the best class found, so that a character is marked by itself, not
/// with the pairs that begin with it.
fn least_class(term: &Term, tokens: &[Token]) -> Option<Class> {
    if !term.word.is_unspaced() {
        return None;
    }
    let classes = tokens
        .iter()
        .map(|token| Class::of(&term.word, token.word.as_str()));
    classes.max().flatten()
}

/// The part to show: the first one with the most matching terms.
fn window(body: &str, matches: &[Match]) -> Option<Range<usize>> {
    let mut best: Option<(u32, &Match)> = None;
    for (index, first) in matches.iter().enumerate() {
        let end = first.span.start + WIDTH - LEAD;
        let inside = matches.iter().skip(index);
        let bits = inside
            .take_while(|found| found.span.end <= end)
            .fold(first.terms, |bits, found| bits | found.terms);
        let count = bits.count_ones();
        if best.is_none_or(|(most, _)| count > most) {
            best = Some((count, first));
        }
    }
    let (_, first) = best?;
    let start = cut_before(body, first.span.start);
    let end = cut_after(body, first.span.end.max(start + WIDTH));
    Some(start..end)
}

/// A word boundary a little before `place`, or `place` itself.
fn cut_before(body: &str, place: usize) -> usize {
    let earliest = place.saturating_sub(LEAD);
    if earliest == 0 {
        return 0;
    }
    let mut starts = body.split_word_bound_indices().map(|(start, _)| start);
    starts
        .find(|start| *start >= earliest)
        .map_or(place, |start| start.min(place))
}

/// The first word boundary at or after `place`.
fn cut_after(body: &str, place: usize) -> usize {
    if place >= body.len() {
        return body.len();
    }
    let mut ends = body
        .split_word_bound_indices()
        .map(|(start, part)| start + part.len());
    ends.find(|end| *end >= place).unwrap_or(body.len())
}

/// The spans of the matches, with those that touch or overlap merged.
fn merged(matches: &[Match]) -> Vec<Range<usize>> {
    let mut merged: Vec<Range<usize>> = Vec::new();
    for found in matches {
        match merged.last_mut() {
            Some(last) if found.span.start <= last.end => last.end = last.end.max(found.span.end),
            _ => merged.push(found.span.clone()),
        }
    }
    merged
}

fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tokens, *};

    fn shown(query: &str, body: &str) -> String {
        highlight(body, &tokens(body), &Terms::of(query)).unwrap_or_default()
    }

    #[test]
    fn matches_are_marked_and_the_rest_is_escaped() {
        for (query, body, wanted) in [
            ("car", "a red car", "a red <em>car</em>"),
            (
                "car",
                "<car> & 'cars'",
                "&lt;<em>car</em>&gt; &amp; &#39;<em>cars</em>&#39;",
            ),
            ("cafe", "Café!", "<em>Café</em>!"),
            ("kernle", "the kernel", "the <em>kernel</em>"),
            ("日本", "これは日本語", "これは<em>日本</em>語"),
            ("ก", "กิน!", "<em>กิน</em>!"),
            ("👍", "ok 👍🏽", "ok <em>👍🏽</em>"),
            ("em", "<em>", "&lt;<em>em</em>&gt;"),
            ("car", "bus", ""),
        ] {
            assert_eq!(shown(query, body), wanted, "{query}: {body}");
        }
    }

    #[test]
    fn the_part_with_the_most_terms_is_shown() {
        let far = "word ".repeat(100);
        let body = format!("red {far} red car {far}");
        let shown = shown("red car", &body);
        assert!(shown.contains("<em>red</em> <em>car</em>"), "{shown}");
        assert!(shown.len() < 400, "{shown}");
    }

    proptest! {
        #[test]
        fn a_highlight_without_its_marks_is_a_part_of_the_escaped_body(
            body in "(\\PC{0,6}|[a-c<&']{0,8}| ){0,80}",
            query in "[a-c]{1,3}( [a-c]{1,3})?",
        ) {
            let shown = shown(&query, &body);
            let mut escaped = String::new();
            escape(&mut escaped, &body);
            let plain = shown.replace("<em>", "").replace("</em>", "");
            prop_assert!(escaped.contains(&plain), "{} / {}", shown, escaped);
            let found = Terms::of(&query).rank(&body).is_some();
            prop_assert!(!found || shown.contains("<em>"), "{}", shown);
        }
    }
}
