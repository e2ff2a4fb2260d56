//! Modules form layers: what a module imports never imports it back, however many modules lie in
//! between. The one circle that is allowed is a module with its own children, and without that
//! module its children form layers too.
//!
//! An import is any path that begins with `crate`, `self`, `super` or a child module. It leads to
//! the file that has the item: re-exports are followed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

/// A module by the segments of its path below `crate`.
type Module = Vec<String>;

/// What is imported from what; both are files.
struct Graph {
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

#[test]
fn modules_import_in_one_direction() {
    let graph = Graph::of_source();
    assert!(graph.imports.len() > 250, "{} files", graph.imports.len());
    let circles = graph.circles(&graph.imports.keys().cloned().collect());
    let shown: Vec<String> = circles.iter().map(|circle| graph.show(circle)).collect();
    assert!(
        circles.is_empty(),
        "these modules import each other in a circle; move what they share below them:\n{}",
        shown.join("\n\n")
    );
}

#[test]
fn circles_are_found_through_parents_and_re_exports() {
    let graph = Graph::of(&[
        ("lib", "pub mod a; pub mod b;"),
        (
            "a",
            "pub mod one; pub mod two; pub use self::one::One; use crate::b::B;",
        ),
        ("a::one", "use super::two; pub struct One;"),
        (
            "a::two",
            "/* use crate::b::B; */ // use super::one;\nfn f() -> crate::a::One { g(\"crate::b\") }",
        ),
        ("b", "use crate::a::{One as Other, two::{self}};"),
    ]);
    let names = |circle: &BTreeSet<Module>| -> Vec<String> {
        circle.iter().map(|module| module.join("::")).collect()
    };
    let all = graph.imports.keys().cloned().collect();
    let circles = graph.circles(&all);
    assert_eq!(
        circles.iter().map(names).collect::<Vec<_>>(),
        [["a::one", "a::two"]]
    );
    assert!(graph.imports[&module("b")].contains(&module("a::one")));
}

impl Graph {
    fn of_source() -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut sources = BTreeMap::new();
        for file in super::rust_files(&src) {
            let name = file.strip_prefix(&src).unwrap().with_extension("");
            let mut module: Module = name
                .iter()
                .map(|part| part.to_str().unwrap().to_owned())
                .collect();
            let is_test =
                |part: &String| part == "tests" || part == "testing" || part.ends_with("_tests");
            if module == ["main"] || module.iter().any(is_test) {
                continue;
            }
            if module
                .last()
                .is_some_and(|last| last == "mod" || last == "lib")
            {
                module.pop();
            }
            sources.insert(module, fs::read_to_string(&file).unwrap());
        }
        Self::of_modules(&sources)
    }

    fn of(sources: &[(&str, &str)]) -> Self {
        let named = |(name, text): &(&str, &str)| (module(name), (*text).to_owned());
        Self::of_modules(&sources.iter().map(named).collect())
    }

    fn of_modules(sources: &BTreeMap<Module, String>) -> Self {
        let parsed: BTreeMap<&Module, Source> = sources
            .iter()
            .map(|(module, text)| (module, Source::parse(text)))
            .collect();
        let imports = parsed.iter().map(|(module, source)| {
            let found = source.paths.iter();
            let found = found.filter_map(|path| resolve(&parsed, module, path, 0));
            let others = found.filter(|found| found != *module);
            ((*module).clone(), others.collect())
        });
        Self {
            imports: imports.collect(),
        }
    }

    /// The circles among `modules`, but for those of a module with its own children.
    fn circles(&self, modules: &BTreeSet<Module>) -> Vec<BTreeSet<Module>> {
        let mut found = Vec::new();
        for circle in self.components(modules) {
            let parent = circle.iter().min_by_key(|module| module.len()).unwrap();
            let is_family = circle.iter().all(|module| module.starts_with(parent));
            if is_family && !parent.is_empty() {
                let mut children = circle.clone();
                children.remove(parent);
                found.extend(self.circles(&children));
            } else {
                found.push(circle);
            }
        }
        found
    }

    /// Sets of more than one module, each of which reaches all others of its set.
    fn components(&self, modules: &BTreeSet<Module>) -> Vec<BTreeSet<Module>> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> = modules
            .iter()
            .map(|module| (module, self.reached_from(module, modules)))
            .collect();
        let mut left: BTreeSet<&Module> = modules.iter().collect();
        let mut found = Vec::new();
        while let Some(first) = left.pop_first() {
            let mutual = |other: &&&Module| {
                reached[first].contains(**other) && reached[**other].contains(first)
            };
            let mut component: BTreeSet<Module> = left
                .iter()
                .filter(mutual)
                .map(|module| (*module).clone())
                .collect();
            left.retain(|module| !component.contains(*module));
            if !component.is_empty() {
                component.insert(first.clone());
                found.push(component);
            }
        }
        found
    }

    fn reached_from<'g>(
        &'g self,
        from: &Module,
        within: &'g BTreeSet<Module>,
    ) -> BTreeSet<&'g Module> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            for import in &self.imports[module] {
                if let Some(import) = within.get(import)
                    && reached.insert(import)
                {
                    next.push(import);
                }
            }
        }
        reached
    }

    fn show(&self, circle: &BTreeSet<Module>) -> String {
        let lines = circle.iter().map(|module| {
            let imports = self.imports[module].intersection(circle);
            let imports: Vec<String> = imports.map(|import| import.join("::")).collect();
            format!("{} imports {}", module.join("::"), imports.join(", "))
        });
        lines.collect::<Vec<_>>().join("\n")
    }
}

static NOISE: LazyLock<Regex> =
    LazyLock::new(|| regex(r#"(?s)//[^\n]*|/\*.*?\*/|"(?:[^"\\]|\\.)*""#));
static VISIBLE: LazyLock<Regex> = LazyLock::new(|| regex(r"pub\([^)]*\)"));
static IMPORT: LazyLock<Regex> = LazyLock::new(|| regex(r"(?s)(pub\s+)?\buse\s+([^;]+);"));
static PATH: LazyLock<Regex> = LazyLock::new(|| regex(r"\b(?:crate|super|self)(?:::\w+)+"));

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

/// The paths in a file's code, and what it re-exports by which name.
struct Source {
    paths: Vec<Vec<String>>,
    exports: BTreeMap<String, Vec<String>>,
}

impl Source {
    fn parse(text: &str) -> Self {
        let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let code = NOISE.replace_all(own, " ");
        let code = VISIBLE.replace_all(&code, "pub ");
        let mut source = Self {
            paths: Vec::new(),
            exports: BTreeMap::new(),
        };
        for found in IMPORT.captures_iter(&code) {
            for (path, name) in paths_of(&found[2]) {
                if found.get(1).is_some() {
                    source.exports.insert(name, path.clone());
                }
                source.paths.push(path);
            }
        }
        let rest = IMPORT.replace_all(&code, " ");
        source
            .paths
            .extend(PATH.find_iter(&rest).map(|found| segments(found.as_str())));
        source
    }
}

/// The paths of a `use` tree, each with the name that it gets.
fn paths_of(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    if let Some((prefix, branches)) = tree.strip_suffix('}').and_then(|tree| tree.split_once('{')) {
        let mut depth = 0;
        let split = branches.split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        let all = split.filter(|branch| !branch.trim().is_empty());
        return all
            .flat_map(|branch| paths_of(&format!("{prefix}{}", branch.trim())))
            .collect();
    }
    let (path, alias) = match tree.split_once(" as ") {
        Some((path, alias)) => (path, Some(alias.trim().to_owned())),
        None => (tree, None),
    };
    let mut path = segments(path);
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = alias.or_else(|| path.last().cloned()).unwrap_or_default();
    vec![(path, name)]
}

/// The file that has what `path` names in `module`; `None` for what is another crate's.
fn resolve(
    sources: &BTreeMap<&Module, Source>,
    module: &Module,
    path: &[String],
    depth: usize,
) -> Option<Module> {
    assert!(depth < 20, "{path:?} of {module:?} leads nowhere");
    let mut at = module.clone();
    let mut path = path;
    match path.first()?.as_str() {
        "crate" => (at, path) = (Vec::new(), &path[1..]),
        "self" => path = &path[1..],
        "super" => {
            while path.first().is_some_and(|segment| segment == "super") {
                at.pop();
                path = &path[1..];
            }
        }
        child => {
            let mut below = at.clone();
            below.push(child.to_owned());
            sources.get(&below)?;
        }
    }
    while let Some((first, rest)) = path.split_first() {
        let mut below = at.clone();
        below.push(first.clone());
        if sources.contains_key(&below) {
            (at, path) = (below, rest);
            continue;
        }
        if let Some(export) = sources.get(&at)?.exports.get(first) {
            let whole: Vec<String> = export.iter().chain(rest).cloned().collect();
            return resolve(sources, &at, &whole, depth + 1);
        }
        break;
    }
    sources.contains_key(&at).then_some(at)
}

fn segments(path: &str) -> Vec<String> {
    path.split("::")
        .map(|segment| segment.trim().to_owned())
        .collect()
}

fn module(name: &str) -> Module {
    match name {
        "lib" => Vec::new(),
        name => segments(name),
    }
}
