//! The files of the page. They are in the binary, need no other host, and have nothing of the cluster in them: what they show
//! they ask for, with the token that was given to them.

use crate::server::Service;
use axum::Router;
use axum::http::header;
use axum::routing::get;

/// By path: what kind of file it is, and what is in it.
const FILES: [(&str, &str, &str); 13] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/api.js", SCRIPT, include_str!("page/api.js")),
    ("/attempts.js", SCRIPT, include_str!("page/attempts.js")),
    ("/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/format.js", SCRIPT, include_str!("page/format.js")),
    ("/job.js", SCRIPT, include_str!("page/job.js")),
    ("/main.js", SCRIPT, include_str!("page/main.js")),
    ("/overview.js", SCRIPT, include_str!("page/overview.js")),
    ("/plan.js", SCRIPT, include_str!("page/plan.js")),
    ("/sizes.js", SCRIPT, include_str!("page/sizes.js")),
    ("/times.js", SCRIPT, include_str!("page/times.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What a browser may do with them: run these scripts, ask this coordinator, and nothing else
/// (<https://www.w3.org/TR/CSP3/>).
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The files, by path.
pub(super) fn routes() -> Router<Service> {
    FILES.iter().fold(Router::new(), |router, &(path, kind, content)| {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            // Another release has others.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(move || async move { (headers, content) }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn all_files_are_there_that_the_page_names() {
        let there: BTreeSet<&str> = FILES.iter().map(|(path, ..)| &path[1..]).collect();
        let mut named = BTreeSet::from([""]);
        for (_, _, content) in FILES {
            for begin in ["from \"./", "href=\"", "src=\""] {
                for rest in content.split(begin).skip(1) {
                    let name = rest.split('"').next().unwrap();
                    assert!(!name.contains("//"), "{name} is of another host");
                    if !name.starts_with('#') {
                        named.insert(name);
                    }
                }
            }
        }
        assert_eq!(there, named);
    }

    #[test]
    fn nothing_is_inline_that_the_policy_forbids() {
        let (_, _, html) = FILES[0];
        assert!(!html.contains("<style") && !html.contains(" style="), "a style is inline");
        assert_eq!(html.matches("<script").count(), html.matches("src=\"").count());
    }
}
