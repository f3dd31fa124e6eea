/* SPDX-License-Identifier: MIT */
/* What was typed at `ssh-mux top`: letters, and the sequences of xterm and VT220 for arrows. */
#include "cli/watch/top.h"

enum { PLAIN, ESCAPE, SEQUENCE };

#define CONTROL(letter) (0x1f & (letter))

static enum top_key letter(uint8_t byte)
{
	switch (byte) {
	case 'q':
	case 'Q':
	case CONTROL('C'):
	case CONTROL('D'):
		return TOP_KEY_QUIT;
	case 'k':
		return TOP_KEY_UP;
	case 'j':
		return TOP_KEY_DOWN;
	case 'b':
	case CONTROL('B'):
		return TOP_KEY_PAGE_UP;
	case ' ':
	case CONTROL('F'):
		return TOP_KEY_PAGE_DOWN;
	case 'g':
		return TOP_KEY_HOME;
	case 'G':
		return TOP_KEY_END;
	case 's':
		return TOP_KEY_SORT;
	case 'l':
		return TOP_KEY_LOCK;
	case CONTROL('L'):
	case 'r':
		return TOP_KEY_REDRAW;
	case 'y':
	case 'Y':
		return TOP_KEY_YES;
	default:
		return TOP_KEY_OTHER;
	}
}

/* The byte that ends a sequence; number is what stands before '~'. */
static enum top_key final(uint8_t byte, unsigned number)
{
	switch (byte) {
	case 'A':
		return TOP_KEY_UP;
	case 'B':
		return TOP_KEY_DOWN;
	case 'H':
		return TOP_KEY_HOME;
	case 'F':
		return TOP_KEY_END;
	case '~':
		break;
	default:
		return TOP_KEY_NONE;
	}
	switch (number) {
	case 1:
	case 7:
		return TOP_KEY_HOME;
	case 4:
	case 8:
		return TOP_KEY_END;
	case 5:
		return TOP_KEY_PAGE_UP;
	case 6:
		return TOP_KEY_PAGE_DOWN;
	default:
		return TOP_KEY_NONE;
	}
}

enum top_key top_keys_take(struct top_keys *k, uint8_t byte)
{
	if (byte == '\033') {
		k->state = ESCAPE;
		return TOP_KEY_NONE;
	}
	if (k->state == ESCAPE && (byte == '[' || byte == 'O')) {
		k->state = SEQUENCE;
		k->number = 0;
		return TOP_KEY_NONE;
	}
	if (k->state == SEQUENCE && byte >= 0x20 && byte < 0x40) {
		/* Digits; modifiers behind a ';' are not ours. */
		if (byte >= '0' && byte <= '9' && k->number < 1000)
			k->number = k->number * 10 + (byte - '0');
		return TOP_KEY_NONE;
	}
	if (k->state == SEQUENCE) {
		k->state = PLAIN;
		/* Nobody can type a control character within a sequence: it is a key again. */
		return byte >= 0x40 ? final(byte, k->number) : letter(byte);
	}
	k->state = PLAIN;
	return letter(byte);
}
