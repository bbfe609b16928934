//! Checks what a list by number shows through each window: bounds, order and limit.

use anyhow::{Context as _, Result, ensure};

use crate::{client::Client, paging::pages, stage::item_numbers};

/// The limits that are tried.
const LIMITS: [usize; 3] = [1, 2, 1_000];

/// Checks that the list at `path` shows the wanted part of `numbers` through every window.
///
/// The numbers are in ascending order, and those missing between them are of deleted things.
/// Bounds lie on, between and outside of them.
///
/// # Errors
///
/// Fails with the first window that shows something else.
pub async fn expect_windows(client: &mut Client, path: &str, numbers: &[u64]) -> Result<()> {
    let last = numbers.last().copied().unwrap_or_default();
    let bounds: Vec<Option<u64>> = [0, 1, 2, last / 2, last, last + 1, u64::MAX]
        .into_iter()
        .map(Some)
        .chain([None])
        .collect();
    for after in &bounds {
        for before in &bounds {
            for is_descending in [false, true] {
                let window = Window {
                    after: *after,
                    before: *before,
                    is_descending,
                };
                window.expect(client, path, numbers).await?;
            }
        }
    }
    Ok(())
}

struct Window {
    after: Option<u64>,
    before: Option<u64>,
    is_descending: bool,
}

impl Window {
    async fn expect(&self, client: &mut Client, path: &str, numbers: &[u64]) -> Result<()> {
        let wanted = self.part(numbers);
        for limit in LIMITS {
            let address = format!("{path}?limit={limit}{}", self.query());
            let pages = pages(client, &address).await?;
            let sizes: Vec<usize> = pages.iter().map(Vec::len).collect();
            let (_, full) = sizes.split_last().context("a list has a page")?;
            ensure!(
                full.iter().all(|size| *size == limit),
                "the pages of `{address}` have {sizes:?} items"
            );
            let shown = item_numbers(&pages.concat());
            ensure!(
                shown == wanted,
                "`{address}` shows {shown:?}, not {wanted:?}"
            );
            ensure!(
                wanted.is_empty() || sizes.last() != Some(&0),
                "the last page of `{address}` is empty"
            );
        }
        Ok(())
    }

    fn part(&self, numbers: &[u64]) -> Vec<u64> {
        let is_inside = |number: &u64| {
            self.after.is_none_or(|after| *number > after)
                && self.before.is_none_or(|before| *number < before)
        };
        let mut part: Vec<u64> = numbers.iter().copied().filter(is_inside).collect();
        if self.is_descending {
            part.reverse();
        }
        part
    }

    fn query(&self) -> String {
        let bound = |name: &str, bound: Option<u64>| {
            bound.map_or_else(String::new, |bound| format!("&{name}={bound}"))
        };
        // Ascending is the default.
        let order = if self.is_descending {
            "&order=desc"
        } else {
            ""
        };
        format!(
            "{}{}{order}",
            bound("after", self.after),
            bound("before", self.before)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_exclusive_in_both_orders() {
        for (is_descending, wanted) in [(false, [3, 4]), (true, [4, 3])] {
            let window = Window {
                after: Some(2),
                before: Some(7),
                is_descending,
            };
            assert_eq!(window.part(&[1, 2, 3, 4, 7]), wanted);
        }
    }
}
