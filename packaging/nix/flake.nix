# nix build 'git+file:.?dir=packaging/nix', or from a repository's address with ?dir=packaging/nix.
{
  description = "One login per server, shared by every SSH client";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ];
      forAll = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
    in
    {
      packages = forAll (pkgs: { default = pkgs.callPackage ./package.nix { }; });
      devShells = forAll (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (pkgs.callPackage ./package.nix { }) ];
          packages = [ pkgs.cmocka pkgs.python3 ];
        };
      });
    };
}
