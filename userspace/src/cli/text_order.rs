//! Things with a text in, the same in the order of their texts out. Names of C++ and Rust begin alike for a hundred bytes: to
//! compare each with many others from their first byte on takes longer than all else that is done with them.

/// Read at once.
const KEY: usize = size_of::<u64>();
/// So few are compared.
const FEW: usize = 16;

/// Stable. No text has a byte that is 0, as no name has.
pub fn sort_by_text<T>(items: &mut [&T], text: impl Fn(&T) -> &[u8]) {
    // What begins alike, and for how long.
    let mut alike = vec![(0..items.len(), 0)];
    let mut keyed: Vec<(u64, &T)> = Vec::new();
    while let Some((range, from)) = alike.pop() {
        let items = &mut items[range.clone()];
        let rest = |item| text(item).get(from..).unwrap_or_default();
        if items.len() <= FEW || items.iter().all(|item| rest(item).is_empty()) {
            items.sort_by(|a, b| rest(a).cmp(rest(b)));
            continue;
        }
        keyed.clear();
        keyed.extend(items.iter().map(|item| (key(rest(item)), *item)));
        keyed.sort_by_key(|(key, _)| *key);
        let mut start = range.start;
        for same in keyed.chunk_by(|a, b| a.0 == b.0) {
            if same.len() > 1 {
                alike.push((start..start + same.len(), from + KEY));
            }
            start += same.len();
        }
        items.iter_mut().zip(&keyed).for_each(|(item, (_, sorted))| *item = sorted);
    }
}

/// In the order of the bytes; what ends sooner has zeros.
fn key(text: &[u8]) -> u64 {
    u64::from_be_bytes(text.first_chunk().copied().unwrap_or_else(|| {
        let mut bytes = [0; KEY];
        bytes[..text.len()].copy_from_slice(text);
        bytes
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_are_in_the_order_of_their_bytes(
            texts in prop::collection::vec(("(aaaaaaa|bbbb){0,5}", "[ab]{0,3}"), 0..200)
        ) {
            let texts: Vec<(usize, String)> =
                texts.into_iter().map(|(start, end)| start + &end).enumerate().collect();
            let (mut sorted, mut expected): (Vec<_>, Vec<_>) = (texts.iter().collect(), texts.iter().collect());
            sort_by_text(&mut sorted, |(_, text)| text.as_bytes());
            expected.sort_by(|(_, a), (_, b)| a.cmp(b));
            prop_assert_eq!(sorted, expected);
        }
    }
}
