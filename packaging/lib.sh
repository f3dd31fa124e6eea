# shellcheck shell=sh
# What the scripts that make packages share. Read by `. packaging/lib.sh` at the top of the tree.

top=$PWD
# One place has the version: project() in CMakeLists.txt.
version=$(sed -n 's/^project(ssh-mux VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
out=${SMX_PACKAGE_OUT:-$top/build/package}
jobs=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
umask 022

# The same input makes the same bytes: all times are this one.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 315532800)
fi
export SOURCE_DATE_EPOCH LC_ALL=C.UTF-8 TZ=UTC

need() {
	for tool; do
		command -v "$tool" >/dev/null 2>&1 || {
			echo "${0##*/}: no $tool here (scripts/deps build packages)"
			exit 75
		}
	done
}

# quiet LOG COMMAND...: what it prints goes to LOG, the end of which is shown if it fails.
quiet() {
	log=$1
	shift
	"$@" >"$log" 2>&1 </dev/null || {
		tail -n 40 "$log" >&2
		echo "${0##*/}: failed: $* (all of it: $log)" >&2
		exit 1
	}
}

# staged DIRECTORY [OPTION...]: builds in DIRECTORY, installs below DIRECTORY/root with /usr as the
# prefix. CFLAGS, CXXFLAGS and LDFLAGS are taken from the environment.
staged() {
	build=$1
	shift
	mkdir -p "$build"
	quiet "$build/configure.log" cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
		-DSMX_TESTS=OFF -DSMX_WERROR="${SMX_WERROR:-OFF}" -DCMAKE_INSTALL_PREFIX=/usr \
		-DCMAKE_INSTALL_LIBDIR=lib "$@"
	quiet "$build/build.log" cmake --build "$build" -- -j"$jobs"
	rm -rf "$build/root"
	quiet "$build/install.log" env DESTDIR="$build/root" cmake --install "$build" --strip
}

# A tar file whose bytes depend on names, contents and SOURCE_DATE_EPOCH alone.
reproducible_tar() {
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
		--mode=u+rwX,go+rX,go-w --format=gnu "$@"
}

# packages COLUMN KIND: names of section [build]; column 1 Debian, 2 dnf, 3 pacman, 4 brew, 5 nix.
# KIND is `run` for the libraries that the program is linked with, `build` for the rest.
packages() {
	awk -v column="$1" -v kind="$2" '
		/^#/ || NF == 0 { next }
		/^\[/ { on = $1 == "[build]"; next }
		# toml++ is compiled in: headers.
		on { runs = $1 ~ /^lib.*-dev$/ && $1 != "libtomlplusplus-dev"
			if ((kind == "run") == runs && $column != "-" && !seen[$column]++)
				print $column }' "$top/packaging/debian-packages.txt"
}
