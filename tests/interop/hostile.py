# SPDX-License-Identifier: MIT
"""R3: names that must not get in anywhere, and odd ones that must.

One table for every way in: the routes file, the command line, an ssh_config, the output of
`ssh -G`. The lists hold text as a program would see it, escapes undone. Use `toml_string` to write
one into a routes file, `fits_argv` to leave out what can be no argument of a program, and
`fits_line` to leave out what can be no word of a line-based file.
"""

# Whatever sort of name: options, ends of lines and of strings, blanks at an end, what draws on a
# terminal or moves its cursor.
ANYWHERE = [
    "",
    "-",
    "-a",
    "--",
    "-oProxyCommand=touch pwned",
    "-F/tmp/evil",
    "a\nb",
    "a\n",
    "\na",
    "a\r",
    "\ra",
    "a\r\nb",
    "a\0b",
    "a\0",
    "\0",
    " a",
    "a ",
    " ",
    "\ta",
    "a\t",
    "a\tb",
    "a\vb",
    "a\fb",
    "a\x1b[2Jb",
    "a\x1b]0;title\x07b",
    "a\x07",
    "a\x08b",
    "a\x01",
    "a\x1f",
    "a\x7f",
]

# A shell's characters: sh, cmd and PowerShell.
SHELL = [
    "a;b",
    "a&b",
    "a&&b",
    "a|b",
    "a<b",
    "a>b",
    "a`id`",
    "$(id)",
    "a$(id)b",
    "${HOME}",
    "$HOME",
    "a$b",
    "a'b",
    'a"b',
    "a(b",
    "a)b",
    "a{b",
    "a}b",
    "a\\",
    "';touch pwned;'",
    '"&calc&"',
]

# Beyond ASCII: C1 controls, other spellings of white space and of a line's end, direction marks,
# invisible ones.
UNICODE = [
    "a\u0085b",
    "a\u009b2Jb",
    "\u00a0a",
    "a\u00a0",
    "a\u00a0b",
    "a\u00adb",
    "a\u034fb",
    "a\u061cb",
    "a\u115fb",
    "a\u1680",
    "a\u17b4b",
    "a\u180eb",
    "a\u2003",
    "a\u200bb",
    "a\u200db",
    "a\u200eb",
    "a\u2028b",
    "a\u2029b",
    "a\u202ab",
    "a\u202eb",
    "a\u202fb",
    "a\u205fb",
    "a\u2060b",
    "a\u2066b",
    "a\u2069b",
    "a\u206fb",
    "\u3000a",
    "a\u3164b",
    "a\ufe0fb",
    "\ufeffa",
    "a\uffa0b",
    "a\ufff9b",
    "a\U0001d173b",
    "a\U000e0041b",
    "a\U000e0101b",
]

# Names of routes: ^[A-Za-z0-9._-]+$, not beginning with '-'.
NAMES = (
    ANYWHERE
    + SHELL
    + UNICODE
    + [
        "a b",
        "a/b",
        "../a",
        "a\\b",
        "a*",
        "*",
        "a?",
        "!a",
        "a,b",
        "a@b",
        "a:b",
        "a%b",
        "%h",
        "%COMSPEC%",
        "a=b",
        "a#b",
        "#a",
        "a~b",
        "~a",
        "a^b",
        "a+b",
        "[a]",
        "\u00e9t\u00e9",
        "a" * 129,
    ]
)

# Hosts: besides, what known_hosts or ssh would read more into than a host.
HOSTS = (
    ANYWHERE
    + SHELL
    + UNICODE
    + [
        "a b",
        "a,b",
        "a\\b",
        "*",
        "a?",
        "!a",
        "[a]",
        "[::1]",
        "[a]:22",
        "#a",
        "@cert-authority",
        "|1|a|b",
        "user@host",
        "host:22",
        "a%b",
        "%h",
        "%COMSPEC%",
        "::1%a%b",
        "a/b",
        "ssh://a",
        "a=b",
        "a~b",
        "a^b",
        "a+b",
        ".a",
        "b\u00fccher.example",
        "a" * 256,
    ]
)

USERS = ANYWHERE + SHELL + UNICODE + ["a -b", "a  -oProxyCommand=x", "a" * 256]

# Of those, what OpenSSH's ssh itself refuses from its command line (ssh.c, 9.6 and later).
# These are the characters; each must be refused wherever in the name it stands.
OPENSSH_HOST_CHARACTERS = "'`\"$\\;&<>|(){}, \t\n\v\f\r\x01\x1b\x7f"
OPENSSH_USER_CHARACTERS = "'`\";&<>|(){}"

LEGITIMATE_NAMES = ["a", "web", "Web-1.example_2", "0", "a-", "_", "none", "a" * 128]
LEGITIMATE_HOSTS = [
    "h",
    "host.example.com",
    "host.example.",
    "10.0.0.1",
    "::1",
    "2001:db8::1",
    "fe80::1%eth0",
    "xn--bcher-kva.example",
    "under_score.example",
    "a-b",
    "a" * 255,
]
LEGITIMATE_USERS = [
    "me",
    "user@corp.com",
    "DOM\\user",
    "first.last",
    "first last",
    "me+tag",
    "jump@user@host",
    "a%b",
    "a#b",
    "a:b",
    "j\u00f6rg",
    "\u5c71\u7530",
    "a" * 255,
]


def toml_string(text):
    """The text as a basic string of TOML, everything unusual escaped."""
    out = []
    for c in text:
        if c in '"\\':
            out.append("\\" + c)
        elif " " <= c <= "~":
            out.append(c)
        else:
            out.append(f"\\U{ord(c):08X}")
    return '"' + "".join(out) + '"'


def fits_argv(text):
    """Whether it can be an argument of a program."""
    return "\0" not in text


def fits_line(text):
    """Whether it can be the value of a line-based file or output, blanks around it not lost."""
    return text != "" and text == text.strip(" \t") and not any(c in text for c in "\0\n\r")


def label(text):
    """A name of the case for a test's report."""
    shown = ascii(text)[1:-1]
    return shown if len(shown) <= 40 else f"{shown[:30]}...{len(text)}"
