//! A template of a JSON body: a tree with templates as strings. Independent of the template
//! language. A path has the form `.a[0].b`.

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub enum TemplateTree {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number; finite.
    Number(f64),
    /// A template.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object, in the order of the file; no name twice.
    Object(Vec<(String, Self)>),
}

impl TemplateTree {
    /// Every text with its path, in reading order.
    pub fn texts(&self) -> Vec<(String, &str)> {
        let mut found = Vec::new();
        self.collect(String::new(), &mut found);
        found
    }

    fn collect<'t>(&'t self, path: String, found: &mut Vec<(String, &'t str)>) {
        match self {
            Self::Flag(_) | Self::Integer(_) | Self::Number(_) => {}
            Self::Text(text) => found.push((path, text)),
            Self::List(list) => {
                for (index, node) in list.iter().enumerate() {
                    node.collect(element(&path, index), found);
                }
            }
            Self::Object(entries) => {
                for (name, node) in entries {
                    node.collect(member(&path, name), found);
                }
            }
        }
    }
}

/// The path of an element of the list at `path`.
pub fn element(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// The path of a member of the object at `path`.
pub fn member(path: &str, name: &str) -> String {
    format!("{path}.{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_has_a_path() {
        let text = |text: &str| TemplateTree::Text(text.to_owned());
        let tree = TemplateTree::Object(vec![
            ("a".to_owned(), TemplateTree::List(vec![TemplateTree::Flag(true), text("one")])),
            ("b".to_owned(), TemplateTree::Object(vec![("c".to_owned(), text("two"))])),
            ("d".to_owned(), TemplateTree::Integer(3)),
        ]);
        let found = tree.texts();
        assert_eq!(found, [(".a[1]".to_owned(), "one"), (".b.c".to_owned(), "two")]);
    }
}
