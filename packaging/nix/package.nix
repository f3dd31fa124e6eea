# The libraries and tools are those of section [build] in packaging/debian-packages.txt.
{ lib, stdenv, cmake, ninja, pkg-config, openssl, libuv, jansson, tomlplusplus, libseccomp }:

let
  top = ../..;
  linuxBuildInputs = [ libseccomp ];
  # One place has the version.
  said = builtins.match ".*project\\(ssh-mux VERSION ([0-9.]+).*" (builtins.readFile (top + "/CMakeLists.txt"));
in
stdenv.mkDerivation {
  pname = "ssh-mux";
  version = builtins.head said;
  src = top;
  nativeBuildInputs = [ cmake ninja pkg-config ];
  buildInputs = [ openssl libuv jansson tomlplusplus ] ++ lib.optionals stdenv.isLinux linuxBuildInputs;
  cmakeFlags = [ "-DSMX_TESTS=OFF" ];
  doInstallCheck = true;
  installCheckPhase = ''
    $out/bin/ssh-mux --version
  '';
  meta = {
    description = "One login per server, shared by every SSH client";
    license = lib.licenses.mit;
    mainProgram = "ssh-mux";
    platforms = lib.platforms.unix;
  };
}
