//! A child process and nothing else, for the tests of this room. Cargo builds it for them and tells them where it is.
//! The server runs itself as the child, with an argument that its help does not show.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(debug_assertions)]
    {
        let arguments = std::env::args().collect::<Vec<_>>();
        let without = |name: &str| arguments.iter().any(|argument| argument == name);
        decoder::child_main_without(without("--without-landlock"), without("--without-seccomp"))
    }
    #[cfg(not(debug_assertions))]
    decoder::child_main()
}
