//! Logos, made safe: whatever file an operator has, what is kept and mailed is a plain PNG that was drawn here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use giftd_domain::limits;
use resvg::tiny_skia::{FilterQuality, Pixmap, PixmapPaint, PremultipliedColorU8, Transform};
use resvg::usvg::{ImageHrefResolver, Options, Tree};

/// Pixels of a side of a PNG that is looked at; more is no logo, but a bomb.
const SIDE: u32 = 4_096;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Why a file is no logo.
#[derive(Debug, thiserror::Error)]
pub enum NotALogo {
    /// Too many bytes.
    #[error("the file has more than {} KiB: make it smaller", limits::LOGO_BYTES / 1024)]
    TooLarge,
    /// Another kind of file.
    #[error("the file is neither a PNG nor an SVG: save the logo as one of them")]
    Unknown,
    /// Too many pixels.
    #[error("the image has {width} × {height} pixels, and at most {SIDE} × {SIDE} are taken: make it smaller")]
    TooManyPixels {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// A PNG that is broken.
    #[error("the PNG can't be read: {0}")]
    BadPng(String),
    /// An SVG that is broken.
    #[error("the SVG can't be read: {0}")]
    BadSvg(String),
    /// An SVG that needs more than itself.
    #[error("the SVG holds {0}: save the logo as a PNG, or with all of it as paths")]
    NotOnlyPaths(&'static str),
    /// Nothing but transparent pixels.
    #[error("the image shows nothing: all of it is transparent")]
    Empty,
}

/// The logo of a file's bytes: a PNG whose longer side has at most [`limits::LOGO_PIXELS`], without anything that the
/// file held beside its picture.
pub fn to_png(file: &[u8]) -> Result<Vec<u8>, NotALogo> {
    if file.len() > limits::LOGO_BYTES {
        return Err(NotALogo::TooLarge);
    }
    let picture = if file.starts_with(PNG) { from_png(file)? } else { from_svg(file)? };
    if picture.pixels().iter().all(|pixel| pixel.alpha() == 0) {
        return Err(NotALogo::Empty);
    }
    picture.encode_png().map_err(|error| NotALogo::BadPng(error.to_string()))
}

/// Width and height of a PNG, as its first chunk says: before any pixel is unpacked.
pub fn size(png: &[u8]) -> Option<(u32, u32)> {
    let number = |at: usize| png.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    (png.get(12..16)? == b"IHDR").then_some((number(16)?, number(20)?))
}

fn from_png(file: &[u8]) -> Result<Pixmap, NotALogo> {
    let Some((width, height)) = size(file) else { return Err(NotALogo::BadPng("it has no header".to_owned())) };
    if width > SIDE || height > SIDE {
        return Err(NotALogo::TooManyPixels { width, height });
    }
    let mut picture = Pixmap::decode_png(file).map_err(|error| NotALogo::BadPng(error.to_string()))?;
    // Halves first: a filter that looks at a few pixels around loses thin lines where it shrinks by more.
    while picture.width().max(picture.height()) >= 2 * limits::LOGO_PIXELS {
        picture = halved(&picture)?;
    }
    let longer = picture.width().max(picture.height());
    if longer <= limits::LOGO_PIXELS {
        return Ok(picture);
    }
    let scale = limits::LOGO_PIXELS as f32 / longer as f32;
    let side = |pixels: u32| ((pixels as f32 * scale).round() as u32).clamp(1, limits::LOGO_PIXELS);
    let mut small = blank(side(picture.width()), side(picture.height()))?;
    let (x, y) = (small.width() as f32 / picture.width() as f32, small.height() as f32 / picture.height() as f32);
    let paint = PixmapPaint { quality: FilterQuality::Bicubic, ..PixmapPaint::default() };
    small.draw_pixmap(0, 0, picture.as_ref(), &paint, Transform::from_scale(x, y), None);
    Ok(small)
}

/// Each pixel the mean of four.
fn halved(picture: &Pixmap) -> Result<Pixmap, NotALogo> {
    let (width, height) = (picture.width().div_ceil(2), picture.height().div_ceil(2));
    let mut half = blank(width, height)?;
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    for ((x, y), place) in places.zip(half.pixels_mut()) {
        let at = |dx: u32, dy: u32| {
            let (x, y) = ((2 * x + dx).min(picture.width() - 1), (2 * y + dy).min(picture.height() - 1));
            picture.pixel(x, y)
        };
        let four: Vec<PremultipliedColorU8> = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)].into_iter().flatten().collect();
        let mean = |part: fn(&PremultipliedColorU8) -> u8| {
            let sum: u16 = four.iter().map(|pixel| u16::from(part(pixel))).sum();
            u8::try_from((sum + 2) / 4).unwrap_or(u8::MAX)
        };
        let alpha = mean(|pixel| pixel.alpha());
        let color = |part| mean(part).min(alpha);
        let pixel = PremultipliedColorU8::from_rgba(
            color(|pixel| pixel.red()),
            color(|pixel| pixel.green()),
            color(|pixel| pixel.blue()),
            alpha,
        );
        *place = pixel.unwrap_or(PremultipliedColorU8::TRANSPARENT);
    }
    Ok(half)
}

fn from_svg(file: &[u8]) -> Result<Pixmap, NotALogo> {
    // Text only: a compressed SVG could be any size.
    let text = std::str::from_utf8(file).map_err(|_| NotALogo::Unknown)?;
    if !text.contains("<svg") {
        return Err(NotALogo::Unknown);
    }
    if text.contains("<text") {
        return Err(NotALogo::NotOnlyPaths("text, which needs a font"));
    }
    // Nothing is loaded, neither from this machine nor from elsewhere.
    let has_images = Arc::new(AtomicBool::new(false));
    let (from_data, from_elsewhere) = (has_images.clone(), has_images.clone());
    let options = Options {
        image_href_resolver: ImageHrefResolver {
            resolve_data: Box::new(move |_, _, _| {
                from_data.store(true, Ordering::Relaxed);
                None
            }),
            resolve_string: Box::new(move |_, _| {
                from_elsewhere.store(true, Ordering::Relaxed);
                None
            }),
        },
        ..Options::default()
    };
    let tree = Tree::from_str(text, &options).map_err(|error| NotALogo::BadSvg(error.to_string()))?;
    if has_images.load(Ordering::Relaxed) {
        return Err(NotALogo::NotOnlyPaths("another image"));
    }
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = limits::LOGO_PIXELS as f32 / width.max(height);
    let side = |length: f32| ((length * scale).round() as u32).clamp(1, limits::LOGO_PIXELS);
    let mut picture = blank(side(width), side(height))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    Ok(picture)
}

fn blank(width: u32, height: u32) -> Result<Pixmap, NotALogo> {
    Pixmap::new(width, height).ok_or(NotALogo::TooManyPixels { width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVG: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 100"><rect width="300" height="100" fill="#204080"/></svg>"##;

    fn drawn_size(png: &[u8]) -> (u32, u32) {
        let picture = Pixmap::decode_png(png).expect("a PNG");
        assert_eq!(size(png), Some((picture.width(), picture.height())));
        (picture.width(), picture.height())
    }

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut picture = Pixmap::new(width, height).expect("a picture");
        picture.fill(resvg::tiny_skia::Color::from_rgba8(32, 64, 128, 255));
        picture.encode_png().expect("a PNG")
    }

    /// A PNG whose header says that it has so many pixels.
    fn bomb(width: u32, height: u32) -> Vec<u8> {
        let mut file = png(1, 1);
        file[16..20].copy_from_slice(&width.to_be_bytes());
        file[20..24].copy_from_slice(&height.to_be_bytes());
        file
    }

    #[test]
    fn an_svg_is_drawn_as_large_as_a_logo_may_be() {
        let logo = to_png(SVG.as_bytes()).expect("a logo");
        assert_eq!(drawn_size(&logo), (600, 200));
        let picture = Pixmap::decode_png(&logo).expect("a PNG");
        let middle = picture.pixel(300, 100).expect("a pixel").demultiply();
        assert_eq!((middle.red(), middle.green(), middle.blue(), middle.alpha()), (0x20, 0x40, 0x80, 255));
    }

    #[test]
    fn a_png_shrinks_and_never_grows_and_keeps_nothing_but_its_picture() {
        for (width, height, expected) in [
            (10, 20, (10, 20)),
            (600, 600, (600, 600)),
            (900, 300, (600, 200)),
            (4_096, 1, (600, 1)),
            (2_401, 1_200, (600, 300)),
        ] {
            assert_eq!(drawn_size(&to_png(&png(width, height)).expect("a logo")), expected, "{width} × {height}");
        }
        let mut with_more = png(5, 5);
        with_more.extend(b"<script>");
        let logo = to_png(&with_more).expect("a logo");
        assert!(!logo.windows(8).any(|part| part == b"<script>"));
    }

    #[test]
    fn what_is_no_logo_is_refused_with_what_would_be_right() {
        let refused = |file: &[u8]| to_png(file).expect_err("refused").to_string();
        for (file, expected) in [
            (b"\xff\xd8\xff\xe0JFIF".as_slice(), "neither a PNG nor an SVG"),
            (b"GIF89a", "neither a PNG nor an SVG"),
            (b"", "neither a PNG nor an SVG"),
            (b"<html><script>alert(1)</script></html>", "neither a PNG nor an SVG"),
            (b"\x1f\x8b\x08compressed", "neither a PNG nor an SVG"),
            (b"\x89PNG\r\n\x1a\n", "the PNG can't be read"),
            (b"<svg", "the SVG can't be read"),
        ] {
            assert!(refused(file).contains(expected), "{}", refused(file));
        }
        assert!(refused(&vec![b' '; limits::LOGO_BYTES + 1]).contains("more than 1024 KiB"));
        let shows_nothing = r#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>"#;
        assert!(refused(shows_nothing.as_bytes()).contains("shows nothing"));
    }

    #[test]
    fn bombs_are_refused_before_they_are_unpacked() {
        for (width, height) in [(100_000, 100_000), (SIDE + 1, 1), (1, u32::MAX)] {
            let refused = to_png(&bomb(width, height)).expect_err("refused");
            assert!(matches!(refused, NotALogo::TooManyPixels { .. }), "{refused}");
        }
        let entities = r#"<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">
            <!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;"><!ENTITY e "&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;">]><svg xmlns="http://www.w3.org/2000/svg"><title>&e;&e;&e;&e;</title></svg>"#;
        assert!(to_png(entities.as_bytes()).is_err());
    }

    #[test]
    fn an_svg_loads_nothing_and_lacks_nothing() {
        let with = |inside: &str| {
            format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9" height="9"><rect width="9" height="9"/>{inside}</svg>"#
            )
        };
        for inside in [
            r#"<image width="9" height="9" href="/etc/hostname"/>"#,
            r#"<image width="9" height="9" xlink:href="https://evil.example/x.svg"/>"#,
            r#"<image width="9" height="9" href="data:image/svg+xml;base64,PHN2Zy8+"/>"#,
            "<text>Acme</text>",
        ] {
            let refused = to_png(with(inside).as_bytes()).expect_err("refused");
            assert!(matches!(refused, NotALogo::NotOnlyPaths(_)), "{inside}: {refused}");
        }
        let scripted = with("<script>alert(1)</script>");
        assert_eq!(drawn_size(&to_png(scripted.as_bytes()).expect("a logo")), (600, 600), "a picture runs nothing");
    }
}
