/* SPDX-License-Identifier: MIT */
/* Colour for terminals, and none for pipes, files and those who don't want it. */
#ifndef SMX_CLI_COLOR_H
#define SMX_CLI_COLOR_H

enum smx_cli_style {
	SMX_STYLE_NONE, /* ends any other */
	SMX_STYLE_BOLD,
	SMX_STYLE_DIM,
	SMX_STYLE_GOOD, /* green */
	SMX_STYLE_NOTE, /* cyan */
	SMX_STYLE_WARN, /* yellow */
	SMX_STYLE_BAD, /* red, bold */
};

/*
 * 1 if what is written to the C library's descriptor fd should be in colour: it is a terminal,
 * TERM is neither missing nor "dumb", and NO_COLOR is unset or empty.
 */
int smx_cli_color_wanted(int fd);
/* The escape sequence that begins a style, or "" where is_wanted is 0. Static. */
const char *smx_cli_color(int is_wanted, enum smx_cli_style style);

#endif
