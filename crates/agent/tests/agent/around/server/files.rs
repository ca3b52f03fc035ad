use std::{
    io::{self, Read, SeekFrom, Write},
    sync::Mutex,
    thread,
    time::Duration,
};

use super::{Fault, Inner, Request, answer, refusal};

/// False: the connection is to end.
pub fn serve_file(
    out: &mut impl Write,
    shared: &Mutex<Inner>,
    request: &Request,
    sha256: &str,
) -> io::Result<bool> {
    let (body, fault, rate, hides_length) = {
        let mut inner = shared.lock().unwrap();
        let files = inner.files.iter();
        let body = files.rev().find(|it| it.0 == sha256).map(|it| it.1.clone());
        let fault = inner.faults.pop_front();
        inner.fired.extend(fault.clone());
        (body, fault, inner.rate, inner.hides_length)
    };
    let Some(body) = body else {
        let (status, body) = refusal(404, "not_found");
        answer(out, status, &body)?;
        return Ok(true);
    };
    let (mut file, whole) = body.open();
    let is_meant = request.if_range.as_deref().is_none_or(|it| it == sha256);
    let begin = match (&fault, request.range) {
        (Some(Fault::WholeFile), _) | (_, None) => 0,
        (_, Some(begin)) if is_meant => begin,
        _ => 0,
    };
    match &fault {
        Some(Fault::Status(status)) => {
            answer(out, *status, b"{}")?;
            return Ok(true);
        }
        Some(Fault::Hang(time)) => {
            thread::sleep(*time);
            return Ok(false);
        }
        _ => {}
    }
    if begin > 0 && begin >= whole {
        write!(
            out,
            "HTTP/1.1 416 x\r\ncontent-length: 0\r\ncontent-range: bytes */{whole}\r\n\r\n"
        )?;
        return Ok(true);
    }
    let lie = if let Some(Fault::Lie(more)) = fault {
        more
    } else {
        0
    };
    let length = whole - begin;
    let (status, range) = match begin {
        0 => (200, String::new()),
        _ => (
            206,
            format!("content-range: bytes {begin}-{}/{whole}\r\n", whole - 1),
        ),
    };
    let told = match hides_length {
        true => "connection: close\r\n".to_owned(),
        false => format!("content-length: {}\r\n", length + lie),
    };
    write!(
        out,
        "HTTP/1.1 {status} x\r\n{told}etag: \"{sha256}\"\r\n{range}\r\n"
    )?;
    file.seek(SeekFrom::Start(begin))?;
    let length = match fault {
        Some(Fault::Cut(length)) => length.min(whole - begin),
        _ => length,
    };
    let wrong = if let Some(Fault::Wrong(at)) = fault {
        Some(at)
    } else {
        None
    };
    copy(&mut file.take(length), out, wrong, rate)?;
    Ok(!hides_length && !matches!(fault, Some(Fault::Cut(_) | Fault::Lie(_))))
}

fn copy(
    from: &mut impl Read,
    out: &mut impl Write,
    wrong: Option<u64>,
    rate: Option<u64>,
) -> io::Result<()> {
    let mut block = vec![0; 256 << 10];
    if let Some(rate) = rate {
        // Twenty pieces a second.
        block.truncate(usize::try_from(rate / 20).unwrap().max(1));
    }
    let mut at = 0;
    loop {
        let count = from.read(&mut block)?;
        if count == 0 {
            return Ok(());
        }
        if let Some(wrong) = wrong.filter(|it| (at..at + count as u64).contains(it)) {
            block[usize::try_from(wrong - at).unwrap()] ^= 1;
        }
        out.write_all(&block[..count])?;
        at += count as u64;
        if rate.is_some() {
            thread::sleep(Duration::from_millis(50));
        }
    }
}
