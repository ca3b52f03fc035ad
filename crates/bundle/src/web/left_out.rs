//! What of a folder stays behind: what no browser asks a board for.
//!
//! To add a rule: its pattern below, in a case of the tests, and in `docs/bundles.md`.

use airlift_esp::Target;

/// A pattern of names, in lower case; `*` stands for any text, at most once.
type Pattern = (&'static str, &'static str);

/// Folders that no board gets.
const FOLDERS_NEVER: [Pattern; 4] = [
    ("node_modules", "packages of the build"),
    (".git", "version control"),
    (".hg", "version control"),
    (".svn", "version control"),
];
/// Files that no board gets: a link to packages or a worktree's `.git`, and what may hold secrets,
/// which a web part shows to everybody.
const FILES_NEVER: [Pattern; 4] = [
    (".git", "version control"),
    (".env", "may hold secrets"),
    (".env.*", "may hold secrets"),
    (".npmrc", "may hold secrets"),
];

/// Folders that boards with 4 MB do not get.
const FOLDERS_OF_DEVELOPMENT: [Pattern; 4] = [
    ("__tests__", "tests"),
    ("__mocks__", "tests"),
    (".vscode", "settings of the build"),
    (".idea", "settings of the build"),
];
/// Files that boards with 4 MB do not get; also their compressed forms `.gz` and `.br`.
const FILES_OF_DEVELOPMENT: [Pattern; 45] = [
    ("*.map", "source map"),
    ("*.ts", "source of the build"),
    ("*.mts", "source of the build"),
    ("*.cts", "source of the build"),
    ("*.tsx", "source of the build"),
    ("*.jsx", "source of the build"),
    ("*.vue", "source of the build"),
    ("*.svelte", "source of the build"),
    ("*.scss", "source of the build"),
    ("*.sass", "source of the build"),
    ("*.less", "source of the build"),
    ("*.tsbuildinfo", "source of the build"),
    ("*.test.js", "tests"),
    ("*.test.mjs", "tests"),
    ("*.test.cjs", "tests"),
    ("*.spec.js", "tests"),
    ("*.spec.mjs", "tests"),
    ("*.spec.cjs", "tests"),
    ("*.snap", "tests"),
    ("*.md", "notes"),
    ("package.json", "settings of the build"),
    ("package-lock.json", "settings of the build"),
    ("npm-shrinkwrap.json", "settings of the build"),
    ("yarn.lock", "settings of the build"),
    ("pnpm-lock.yaml", "settings of the build"),
    ("bun.lock*", "settings of the build"),
    ("tsconfig*.json", "settings of the build"),
    ("jsconfig*.json", "settings of the build"),
    ("vite.config.*", "settings of the build"),
    ("vitest.config.*", "settings of the build"),
    ("webpack.config.*", "settings of the build"),
    ("rollup.config.*", "settings of the build"),
    ("svelte.config.*", "settings of the build"),
    ("babel.config.*", "settings of the build"),
    ("postcss.config.*", "settings of the build"),
    ("tailwind.config.*", "settings of the build"),
    ("jest.config.*", "settings of the build"),
    ("eslint.config.*", "settings of the build"),
    (".eslint*", "settings of the build"),
    (".prettier*", "settings of the build"),
    (".editorconfig", "settings of the build"),
    (".gitignore", "settings of the build"),
    (".gitattributes", "settings of the build"),
    (".ds_store", "of the desktop"),
    ("thumbs.db", "of the desktop"),
];
const COMPRESSED: [&str; 2] = [".gz", ".br"];

/// What stays behind for a board.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    keeps_development: bool,
}

impl Rules {
    pub(super) fn of(target: Target) -> Rules {
        Rules {
            keeps_development: match target {
                Target::Esp32Wrover => true,
                Target::Raw | Target::Esp32Wroom | Target::Esp32c3 => false,
            },
        }
    }

    /// Why a folder of this name stays behind with all that is in it.
    pub(super) fn folder(self, name: &str) -> Option<&'static str> {
        self.find(name, &FOLDERS_NEVER, &FOLDERS_OF_DEVELOPMENT)
    }

    /// Why a file of this name stays behind.
    pub(super) fn file(self, name: &str) -> Option<&'static str> {
        let is_compressed = COMPRESSED
            .into_iter()
            .find_map(|end| name.strip_suffix(end));
        self.find(
            is_compressed.unwrap_or(name),
            &FILES_NEVER,
            &FILES_OF_DEVELOPMENT,
        )
    }

    fn find(self, name: &str, never: &[Pattern], development: &[Pattern]) -> Option<&'static str> {
        let name = name.to_lowercase();
        let development = match self.keeps_development {
            true => &[],
            false => development,
        };
        let mut patterns = never.iter().chain(development);
        let found = patterns.find(|(pattern, _)| matches(&name, pattern));
        found.map(|(_, why)| *why)
    }
}

fn matches(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((front, end)) => {
            name.len() >= pattern.len() && name.starts_with(front) && name.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: [Target; 3] = [Target::Raw, Target::Esp32Wroom, Target::Esp32c3];

    #[test]
    fn boards_with_4_mb_get_no_source_maps_and_nothing_of_the_build() {
        let stay = [
            "app.js.map",
            "APP.CSS.MAP",
            "app.js.map.gz",
            "main.ts",
            "main.d.ts",
            "view.tsx",
            "style.scss",
            "style.less",
            "README.md",
            "package.json",
            "package-lock.json",
            "tsconfig.app.json",
            "vite.config.js",
            "app.test.js",
            ".DS_Store",
            ".gitignore",
        ];
        for target in SMALL {
            for name in stay {
                assert!(Rules::of(target).file(name).is_some(), "{name}");
            }
            assert_eq!(Rules::of(target).folder("__tests__"), Some("tests"));
        }
        for name in stay {
            assert_eq!(Rules::of(Target::Esp32Wrover).file(name), None, "{name}");
        }
    }

    #[test]
    fn no_board_gets_packages_version_control_or_secrets() {
        for target in Target::ALL {
            let rules = Rules::of(target);
            for name in ["node_modules", ".git", ".svn"] {
                assert!(rules.folder(name).is_some(), "{name}");
            }
            for name in [".env", ".env.production", ".npmrc", ".git"] {
                assert!(rules.file(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn what_a_browser_asks_for_goes_to_every_board() {
        for target in Target::ALL {
            let rules = Rules::of(target);
            for name in [
                "index.html",
                "app.js",
                "app.js.gz",
                "app.min.css",
                "manifest.json",
                "app.config.js",
                "map",
                ".map",
                "roadmap.html",
                "test.js",
                "favicon.ico",
                "font.woff2",
                "robots.txt",
                "LICENSE.txt",
                "strings.ts.json",
            ] {
                assert_eq!(rules.file(name), None, "{name}");
            }
            for name in ["css", "tests", "git", "map", ".well-known"] {
                assert_eq!(rules.folder(name), None, "{name}");
            }
        }
    }
}
