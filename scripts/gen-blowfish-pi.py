#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes src/crypto/blowfish_pi.h: Blowfish's initial state, the first 1042 words of the
fraction of pi in hexadecimal (18 for the P-array, then 4 S-boxes of 256).

    scripts/gen-blowfish-pi.py > src/crypto/blowfish_pi.h
    scripts/gen-blowfish-pi.py --check      exit 1 unless the committed file is that output
"""
import os
import sys

P_WORDS, S_BOXES, S_WORDS = 18, 4, 256
WORDS = P_WORDS + S_BOXES * S_WORDS
GUARD_BITS = 64  # room for the rounding of every term of the series


def arctan_inverse(x, one):
    """arctan(1/x) as a fixed-point number, by Gregory's series."""
    total = term = one // x
    n, sign = 1, 1
    while term:
        term //= x * x
        n += 2
        sign = -sign
        total += sign * (term // n)
    return total


def pi_words():
    bits = 32 * WORDS
    one = 1 << (bits + GUARD_BITS)
    # Machin: pi = 16 arctan(1/5) - 4 arctan(1/239)
    pi = 16 * arctan_inverse(5, one) - 4 * arctan_inverse(239, one)
    fraction = (pi - 3 * one) >> GUARD_BITS
    return [(fraction >> (bits - 32 * (i + 1))) & 0xFFFFFFFF for i in range(WORDS)]


def rows(words, indent):
    return [indent + " ".join("0x%08x," % w for w in words[i : i + 6]) for i in range(0, len(words), 6)]


def render():
    words = pi_words()
    out = [
        "/* SPDX-License-Identifier: MIT */",
        "/* The fraction of pi, computed by scripts/gen-blowfish-pi.py. Do not edit. */",
        "#ifndef SMX_CRYPTO_BLOWFISH_PI_H",
        "#define SMX_CRYPTO_BLOWFISH_PI_H",
        "",
        "#include <stdint.h>",
        "",
        "/* clang-format off */",
        "static const uint32_t blowfish_pi_p[%d] = {" % P_WORDS,
    ]
    out += rows(words[:P_WORDS], "\t")
    out += ["};", "", "static const uint32_t blowfish_pi_s[%d][%d] = {" % (S_BOXES, S_WORDS)]
    for box in range(S_BOXES):
        at = P_WORDS + box * S_WORDS
        out += ["\t{"] + rows(words[at : at + S_WORDS], "\t\t") + ["\t},"]
    out += ["};", "/* clang-format on */", "", "#endif", ""]
    return "\n".join(out)


def main():
    if sys.argv[1:] == ["--check"]:
        path = os.path.join(os.path.dirname(__file__), "..", "src", "crypto", "blowfish_pi.h")
        with open(path) as f:
            if f.read() != render():
                sys.exit("src/crypto/blowfish_pi.h is not what this script writes")
        return
    if sys.argv[1:]:
        sys.exit(__doc__)
    sys.stdout.write(render())


if __name__ == "__main__":
    main()
