//! `airlift package push`.

use airlift_package::Content;
use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use reqwest::{
    Body,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{
    PushArgs,
    content::Draft,
    pack::{self, Packed},
    show::{self, Package},
};
use crate::cli::{
    answer,
    client::Client,
    console::{Console, Outcome},
    progress::Progress,
    signing::signing_key,
};

/// What is sent.
pub struct Prepared {
    pub draft: Draft,
    pub content: Content,
    pub signature: Option<String>,
    pub packed: Packed,
    pub warnings: Vec<String>,
}

pub async fn push(
    args: PushArgs,
    client: &Client,
    json: bool,
    console: &mut Console<'_>,
) -> Result<Outcome> {
    let progress = Progress::new(console);
    let prepared = prepare(&args, &progress)?;
    for warning in &prepared.warnings {
        writeln!(console.notes, "warning: {warning}")?;
    }
    if args.dry_run {
        match json {
            true => writeln!(console.out, "{:#}", as_json(&prepared))?,
            false => show::would_push(&prepared, console.out)?,
        }
        return Ok(Outcome::Done);
    }
    let Prepared { draft, content, .. } = &prepared;
    let (name, version, branch) = (&content.package, &content.version, &content.branch);
    let bytes = prepared.packed.bytes;
    let form = form(&prepared, &progress)?;
    let Some(data) = client.put_package(form, bytes).await? else {
        bail!(
            "the file of {name} {version} was damaged on the way, or changed while it was sent: \
             its SHA-256 at the server is another; the server kept nothing, push again"
        );
    };
    if args.write {
        draft.write_back()?;
    }
    if json {
        writeln!(console.out, "{data:#}")?;
        return Ok(Outcome::Done);
    }
    let pushed: Package = answer::read(&data)?;
    show::pushed(&prepared, &pushed, console.out)?;
    writeln!(
        console.out,
        "\nTo see it: airlift package show {name} {version} --branch {branch}{}",
        client.flag()
    )?;
    Ok(Outcome::Done)
}

/// All that can be said without the server is said here.
fn prepare(args: &PushArgs, progress: &Progress) -> Result<Prepared> {
    let mut draft = Draft::read(&args.content)?;
    for (field, value) in [("version", &args.version), ("branch", &args.branch)] {
        if let Some(value) = value {
            draft.set(field, value)?;
        }
    }
    // Before the folder is packed, which takes time.
    let content = draft.check()?;
    let warnings = warnings(&content);
    // What a person is asked for comes before it, too.
    let key = args.sign.as_deref().map(signing_key).transpose()?;
    let packed = pack::pack(&args.path, args.level, progress)?;
    draft.set("sha256", &packed.sha256)?;
    let content = draft.check()?;
    let signature = key.map(|key| key.sign(draft.text().as_bytes()));
    Ok(Prepared {
        draft,
        content,
        signature: signature.transpose()?,
        packed,
        warnings,
    })
}

fn warnings(content: &Content) -> Vec<String> {
    let mut warnings = Vec::new();
    if content.local.is_empty() {
        warnings.push(
            "local is empty: only devices whose own file says where the package stands install it"
                .to_owned(),
        );
    } else if !content.local.starts_with('/') {
        warnings.push(format!(
            "local {:?} does not begin with /: devices refuse it unless their own file says \
             another place",
            content.local
        ));
    }
    warnings
}

fn form(prepared: &Prepared, progress: &Progress) -> Result<Form> {
    let Packed { file, bytes, .. } = &prepared.packed;
    let file = file.try_clone().context("can't read the packed file")?;
    let bar = progress.bar("uploads", *bytes);
    // A file that grew meanwhile must not make the request longer than it says.
    let file = tokio::fs::File::from_std(file).take(*bytes);
    let pieces = ReaderStream::new(file).inspect(move |piece| {
        if let Ok(piece) = piece {
            bar.add(piece.len());
        }
    });
    let content = prepared.draft.text().to_owned();
    let mut form = Form::new().part("content", Part::text(content).file_name("content.json"));
    if let Some(signature) = &prepared.signature {
        let signature = Part::text(signature.clone()).file_name("content.json.asc");
        form = form.part("signature", signature);
    }
    let file = Part::stream_with_length(Body::wrap_stream(pieces), *bytes);
    Ok(form.part("file", file.file_name("file")))
}

fn as_json(prepared: &Prepared) -> Value {
    let content: Value = serde_json::from_str(prepared.draft.text()).unwrap_or_default();
    json!({
        "content": content,
        "contentText": prepared.draft.text(),
        "signature": prepared.signature,
        "fileSize": prepared.packed.bytes,
        "sha256": prepared.packed.sha256,
        "warnings": prepared.warnings,
    })
}
