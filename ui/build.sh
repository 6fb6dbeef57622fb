#!/bin/sh
# Builds the pages of each face into $SENT_CACHE/ui/dist/FACE: wasm, one script, one style sheet, fonts, each named by
# its hash and compressed beforehand. Says one line, and nothing is rebuilt when no input changed: what was built is kept by a stamp
# of its inputs, which are the same in every checkout, so a fresh clone takes what another one built.
#
#   SENT_CACHE        where tools, npm packages and results live (default ~/.cache/sent)
#   SENT_UI_PROFILE   `wasm` (default, small) or `dev` (quick to build)
#   SENT_UI_LOCKED    the caller holds the lock of the pages
set -eu
# The stamp is of sorted names: every locale must sort alike.
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
cache=${SENT_CACHE:-$HOME/.cache/sent}
profile=${SENT_UI_PROFILE:-wasm}
dist=$cache/ui/dist
work=$cache/ui/work
built_before=$cache/ui/built
node=$cache/node
target=wasm32-unknown-unknown
log=$cache/ui/build.log
mkdir -p "$cache/ui" "$node"

# One build at a time: two would write the same files.
if [ -z "${SENT_UI_LOCKED:-}" ]; then
    exec 9>"$cache/ui/lock"
    flock 9
fi

fail() {
    echo "ui: $1 (whole output: $log)" >&2
    tail -n 40 "$log" >&2
    exit 1
}

# Cargo compares times: pages are as old as the beginning of their build, so that who waits for them has the newest.
touch "$cache/ui/began"

# What the result depends on: our own files, the contract, and the versions of what these stand on. Of the workspace's
# lock file only their own part counts: a new crate of a server changes no page.
ours='ui/src ui/contract/src ui/js ui/styles'
versions() {
    tree=$(cargo tree --locked -p sent-ui --target "$target" -e normal,build --prefix none --format '{p} {f}' \
        2>/dev/null) || return 1
    printf '%s\n' "$tree" | sed "s| ($root[^)]*)||; s| (\*)$||" | sort -u
}
stamp=$({
    echo "$profile"
    cd "$root"
    find $ours -type f -print0 | sort -z | xargs -0 sha256sum
    sha256sum ui/build.sh ui/index.html ui/package-lock.json ui/Cargo.toml ui/contract/Cargo.toml
    sed -n '/^\[profile\./,$p' Cargo.toml
    rustc --version || true
    versions || cat Cargo.lock
} | sha256sum | cut -c1-64)

# Puts what was built of this stamp in place, beside the old first: a server that reads the folder never sees half of it.
place() {
    rm -rf "$dist.new"
    cp -R "$built_before/$stamp/dist" "$dist.new"
    find "$dist.new" -exec touch -r "$cache/ui/began" {} +
    rm -rf "$dist.old"
    [ ! -d "$dist" ] || mv "$dist" "$dist.old"
    mv "$dist.new" "$dist"
    rm -rf "$dist.old"
    cp "$built_before/$stamp/size" "$cache/ui/size"
    echo "$stamp" >"$cache/ui/stamp"
}

if [ -f "$built_before/$stamp/size" ]; then
    if [ ! -f "$dist/fleet/index.html" ] || [ "$(cat "$cache/ui/stamp" 2>/dev/null)" != "$stamp" ]; then
        place
    fi
    touch "$built_before/$stamp"
    echo "ui: up to date, $(cat "$cache/ui/size")"
    exit 0
fi
: >"$log"

# npm packages, exactly those of the lock file.
if ! cmp -s "$here/package-lock.json" "$node/installed-lock.json"; then
    cp "$here/package.json" "$here/package-lock.json" "$node/"
    (cd "$node" && npm ci --no-audit --no-fund) >>"$log" 2>&1 || fail "npm ci failed"
    cp "$here/package-lock.json" "$node/installed-lock.json"
fi

# wasm-bindgen's program and its crate must be the same version.
version=$(awk '/^name = "wasm-bindgen"$/ { getline; gsub(/"/, "", $3); print $3; exit }' "$root/Cargo.lock")
bindgen=$cache/tools/bin/wasm-bindgen
if [ "$("$bindgen" --version 2>/dev/null)" != "wasm-bindgen $version" ]; then
    # Its own lock file can name a package that a registry's mirror does not have yet; newest compatible ones then do. It
    # runs for seconds: building it well would take minutes.
    for lock in --locked --quiet; do
        CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            CARGO_TARGET_DIR=$cache/target-tools cargo install "$lock" --force --root "$cache/tools" \
            "wasm-bindgen-cli@$version" >>"$log" 2>&1 && break
    done
    [ "$("$bindgen" --version 2>/dev/null)" = "wasm-bindgen $version" ] ||
        fail "wasm-bindgen-cli $version could not be installed"
fi

# The programs themselves, one a face. Where rustup's target cannot be had, Debian's compiler builds the standard library too,
# in a target folder of its own: two compilers in one folder rebuild everything at each switch.
case $profile in
dev) folder=debug ;;
*) folder=$profile ;;
esac
if rustup target list --installed 2>/dev/null | grep -qx "$target" || rustup target add "$target" >>"$log" 2>&1; then
    built=$cache/target-wasm
    (cd "$root" && CARGO_TARGET_DIR=$built cargo build --quiet -p sent-ui --profile "$profile" --target "$target") \
        >>"$log" 2>&1 || fail "cargo build failed"
elif [ -x /usr/bin/cargo ] && command -v wasm-ld-19 >/dev/null; then
    built=$cache/target-wasm-debian
    (cd "$root" && RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-19 \
        CARGO_TARGET_DIR=$built /usr/bin/cargo build --quiet -Zbuild-std=std,panic_abort -p sent-ui \
        --profile "$profile" --target "$target") >>"$log" 2>&1 || fail "cargo build failed"
else
    fail "no compiler for $target: rustup target add $target, or apt install rustc-web cargo-web rust-web-src lld-19"
fi

# Everything below works on copies, so that nothing is ever written into the checkout.
rm -rf "$work"
mkdir -p "$work/src"
cp -r "$here/styles" "$here/js" "$here/index.html" "$work/"
cp -r "$here/src/." "$work/src/"
ln -s "$node/node_modules" "$work/node_modules"
for face in box fleet; do
    "$bindgen" --target web --no-typescript --out-dir "$work/$face" --out-name app \
        "$built/$target/$folder/$face.wasm" >>"$log" 2>&1 || fail "wasm-bindgen failed"
    if [ "$profile" != dev ]; then
        "$node/node_modules/.bin/wasm-opt" -Oz --enable-bulk-memory --enable-nontrapping-float-to-int \
            --enable-sign-ext --enable-mutable-globals --enable-reference-types --enable-multivalue \
            -o "$work/$face/app_small.wasm" "$work/$face/app_bg.wasm" >>"$log" 2>&1 || fail "wasm-opt failed"
        mv "$work/$face/app_small.wasm" "$work/$face/app_bg.wasm"
    fi
done
(cd "$work" && "$node/node_modules/.bin/tailwindcss" -i styles/app.css -o styles/out.css --minify) >>"$log" 2>&1 ||
    fail "tailwindcss failed"

# Kept under its stamp, complete or not at all; the last four are kept, so that neither another profile nor another
# branch throws away what was built.
rm -rf "$built_before/new"
mkdir -p "$built_before/new"
for face in box fleet; do
    (cd "$work" && node js/bundle.mjs "$face" "$built_before/new/dist/$face" "$profile") >>"$work/size" 2>>"$log" ||
        fail "bundling failed"
done
paste -s -d ';' "$work/size" >"$built_before/new/size"
mv "$built_before/new" "$built_before/$stamp"
ls -1t "$built_before" | tail -n +5 | while read -r old; do rm -rf "${built_before:?}/$old"; done
place
echo "ui: built, $(cat "$cache/ui/size")"
