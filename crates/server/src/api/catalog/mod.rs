//! What can be ordered. The whole catalog is in memory: lists are made from it.

pub mod branded;
pub mod choice;

use giftd_domain::history::{Page, PageRequest};

/// The page of `products` that match, in their order, and how many do.
fn page_of<'a, T>(products: impl Iterator<Item = &'a T>, page: PageRequest) -> Page<&'a T> {
    let offset = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let size = usize::try_from(page.page_size).unwrap_or(usize::MAX);
    let matching: Vec<&T> = products.collect();
    let total = u64::try_from(matching.len()).unwrap_or(u64::MAX);
    Page { items: matching.into_iter().skip(offset).take(size).collect(), total }
}
