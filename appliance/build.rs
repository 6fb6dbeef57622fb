//! Tells the program where to look for `libduckdb.so`: beside itself, in the `lib` beside its folder, and where it was
//! linked from. It is found without any variable being set.

fn main() {
    println!("cargo:rerun-if-env-changed=DUCKDB_LIB_DIR");
    println!("cargo:rerun-if-changed=build.rs");
    let linked_from = std::env::var("DUCKDB_LIB_DIR").ok();
    for folder in ["$ORIGIN", "$ORIGIN/../lib"].into_iter().map(str::to_owned).chain(linked_from) {
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{folder}");
    }
}
