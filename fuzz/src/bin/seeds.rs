//! Writes what each target begins with into its corpus.

use std::{fs, io, path::Path};

fn main() -> io::Result<()> {
    for (target, _, seeds) in airlift_fuzz::targets() {
        let folder = Path::new("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:02}")), seed)?;
        }
    }
    Ok(())
}
