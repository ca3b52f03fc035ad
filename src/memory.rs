//! Memory that only the start needed. Half of the code that a server runs through in its first second
//! it never runs again, and the kernel counts it as resident for as long as nobody else needs the room.

use std::ops::Range;

/// Gives the kernel back the pages of files, this program's code above all, that are mapped and not
/// changed; what is used again is mapped again. How many bytes of addresses these are.
#[cfg(target_os = "linux")]
pub fn give_back_file_pages() -> std::io::Result<usize> {
    let mut given_back = 0;
    for Range { start, end } in unchanged(&std::fs::read_to_string("/proc/self/smaps")?) {
        let address = std::ptr::without_provenance_mut(start);
        // SAFETY: nobody can write to this mapping, and each of its pages is as in its file: a page
        // that is dropped is read from there again.
        let done = unsafe { libc::madvise(address, end - start, libc::MADV_DONTNEED) };
        if done != 0 {
            return Err(std::io::Error::last_os_error());
        }
        given_back += end - start;
    }
    Ok(given_back)
}

/// The addresses of a file's pages that can't be written to and were never changed, of what Linux says
/// in `/proc/PID/smaps`.
#[cfg_attr(not(target_os = "linux"), expect(dead_code))]
fn unchanged(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut mapping = None;
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("Anonymous:") if words.next() == Some("0") => found.extend(mapping.take()),
            Some(word) if !word.ends_with(':') => mapping = file_mapping(line),
            _ => {}
        }
    }
    found
}

/// A line like `5591ccf6f000-5591ceb74000 r-xp 0115f000 fe:00 10044511   /usr/bin/airlift`, if nobody
/// can write to it.
fn file_mapping(line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let (permissions, path) = (words.next()?, words.nth(3)?);
    let address = |text| usize::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    (matches!(permissions, "r-xp" | "r--p") && path.starts_with('/')).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file_is_given_back() {
        let smaps = "\
            5591cbe10000-5591ccf6f000 r--p 00000000 fe:00 100 /usr/bin/airlift\n\
            Rss:                5688 kB\nAnonymous:             0 kB\n\
            5591ccf6f000-5591ceb74000 r-xp 0115f000 fe:00 100 /usr/bin/airlift\n\
            Rss:               17748 kB\nAnonymous:             0 kB\nVmFlags: rd ex mr mw me\n\
            5591ceb74000-5591ced8c000 r--p 02d63000 fe:00 100 /usr/bin/airlift\n\
            Rss:                2120 kB\nAnonymous:          2120 kB\n\
            5591ced8c000-5591ced9d000 rw-p 02f7a000 fe:00 100 /usr/bin/airlift\n\
            Rss:                  40 kB\nAnonymous:             0 kB\n\
            7fbe6ea6e000-7fbe6ea76000 rw-s 00000000 fe:00 101 /var/lib/airlift/airlift.db-shm\n\
            Anonymous:             0 kB\n\
            7fbe68000000-7fbe68b88000 r--p 00000000 00:00 0\n\
            Anonymous:             0 kB\n\
            7ffe77e16000-7ffe77eaa000 r--p 00000000 00:00 0 [vvar]\n\
            Anonymous:             0 kB\n";
        assert_eq!(
            unchanged(smaps),
            [
                0x5591_cbe1_0000..0x5591_ccf6_f000,
                0x5591_ccf6_f000..0x5591_ceb7_4000
            ]
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_goes_on_after_it_has_given_back_its_code() {
        assert!(give_back_file_pages().unwrap() > 1 << 20);
        assert!(give_back_file_pages().unwrap() > 1 << 20);
    }
}
