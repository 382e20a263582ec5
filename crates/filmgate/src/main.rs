//! The program `filmgate`.

fn main() -> std::process::ExitCode {
    filmgate::cli::main()
}
