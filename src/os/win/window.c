/* SPDX-License-Identifier: MIT */
/*
 * A question in a dialogue box of our own (A4, A5). What the remote says is shown by a control that
 * knows text and nothing else; what is typed is masked, and wiped in our memory and in the field.
 */
#include "os/win/window.h"
#include "os/window.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/err.h"
#include "base/mem.h"

#include <commctrl.h>

#define ANSWER_MAX   1024 /* UTF-16 units */
#define TEXT_WIDTH   500 /* at least; at 96 dots per inch, as all of these */
#define ROW_COLUMNS  74 /* of a text that is laid out in rows, at most */
#define MARGIN       16
#define GAP          10
#define FIELD_HEIGHT 24
#define BUTTON_WIDTH 88
#define BUTTON_HIGH  28
#define STOP_TIMER   1
#define STOP_MS      50
#define ID_FIELD     100

struct box {
	const struct smx_os_window_question *q;
	const atomic_int *stop;
	HWND window, field;
	HFONT font, bold, large, fixed;
	int dpi, width, is_over, r;
	wchar_t answer[ANSWER_MAX + 1];
};

static int scaled(const struct box *b, int n)
{
	return MulDiv(n, b->dpi, 96);
}

/* "\n" to "\r\n", which a static control wants. smx_malloc'ed. */
static wchar_t *wide_lines(const char *text)
{
	wchar_t *wide, *out;
	size_t n = 0;

	if (smx_win_wide(text, &wide) != 0)
		return NULL;
	if ((out = smx_calloc(2 * wcslen(wide) + 1, sizeof(*out))) != NULL)
		for (const wchar_t *p = wide; *p; p++) {
			if (*p == L'\n')
				out[n++] = L'\r';
			out[n++] = *p;
		}
	smx_free(wide);
	return out;
}

static int height_of(const struct box *b, const wchar_t *text, HFONT font, int width)
{
	HDC dc = GetDC(b->window);
	HGDIOBJ before = SelectObject(dc, font);
	RECT rect = { 0, 0, width, 0 };

	(void)DrawTextW(dc, text, -1, &rect,
		DT_CALCRECT | DT_WORDBREAK | DT_EDITCONTROL | DT_NOPREFIX | DT_EXPANDTABS);
	(void)SelectObject(dc, before);
	(void)ReleaseDC(b->window, dc);
	return rect.bottom;
}

static HWND child(const struct box *b, const wchar_t *class, const wchar_t *text, DWORD style,
	int id, int x, int y, int width, int height)
{
	HWND h = CreateWindowExW(id == ID_FIELD ? WS_EX_CLIENTEDGE : 0, class, text,
		WS_CHILD | WS_VISIBLE | style, x, y, width, height, b->window, (HMENU)(INT_PTR)id,
		GetModuleHandleW(NULL), NULL);

	if (h)
		(void)SendMessageW(h, WM_SETFONT, (WPARAM)b->font, TRUE);
	return h;
}

/*
 * One text over the whole width; its bottom is returned. As in an edit control, also a word that is
 * longer than a line goes on in the next: nothing of a name is cut off.
 */
static int put_text(const struct box *b, const char *text, HFONT font, int y)
{
	int width = b->width, height;
	wchar_t *wide;
	HWND h;

	if (!text || !*text || (wide = wide_lines(text)) == NULL)
		return y;
	height = height_of(b, wide, font, width);
	h = child(b, L"STATIC", wide, SS_LEFT | SS_NOPREFIX | SS_EDITCONTROL, 0, scaled(b, MARGIN),
		y, width, height);
	if (h)
		(void)SendMessageW(h, WM_SETFONT, (WPARAM)font, TRUE);
	smx_free(wide);
	return y + height + scaled(b, GAP);
}

static void make_fonts(struct box *b)
{
	NONCLIENTMETRICSW m = { .cbSize = sizeof(m) };
	HDC dc = GetDC(NULL);
	LOGFONTW fixed;

	b->dpi = dc ? GetDeviceCaps(dc, LOGPIXELSY) : 96;
	if (dc)
		(void)ReleaseDC(NULL, dc);
	if (!SystemParametersInfoW(SPI_GETNONCLIENTMETRICS, sizeof(m), &m, 0))
		m.lfMessageFont = (LOGFONTW){ .lfHeight = -scaled(b, 12) };
	b->font = CreateFontIndirectW(&m.lfMessageFont);
	fixed = m.lfMessageFont;
	m.lfMessageFont.lfWeight = FW_BOLD;
	b->bold = CreateFontIndirectW(&m.lfMessageFont);
	m.lfMessageFont.lfHeight = MulDiv(m.lfMessageFont.lfHeight, 4, 3);
	b->large = CreateFontIndirectW(&m.lfMessageFont);
	fixed.lfPitchAndFamily = FIXED_PITCH | FF_MODERN;
	wcscpy(fixed.lfFaceName, L"Consolas");
	b->fixed = CreateFontIndirectW(&fixed);
}

/* A14: rows of a server's begin with a blank and a mark; a menu or a picture of characters is drawn
 * for a terminal. */
static int is_laid_out(const char *text)
{
	return text[0] == ' ';
}

/* What a terminal shows in a row is in one here. */
static void make_width(struct box *b)
{
	const char *rows = b->q->text ? strchr(b->q->text, '\n') : NULL;
	wchar_t row[ROW_COLUMNS];
	HGDIOBJ before;
	SIZE size;
	HDC dc;

	b->width = scaled(b, TEXT_WIDTH);
	if (!rows || !is_laid_out(rows + 1) || (dc = GetDC(NULL)) == NULL)
		return;
	wmemset(row, L'x', ROW_COLUMNS);
	before = SelectObject(dc, b->fixed);
	if (GetTextExtentPoint32W(dc, row, ROW_COLUMNS, &size) && size.cx > b->width)
		b->width = size.cx;
	(void)SelectObject(dc, before);
	(void)ReleaseDC(NULL, dc);
}

/* The first line says who asks: it stands out. */
static int put_description(const struct box *b, int y)
{
	const char *text = b->q->text ? b->q->text : "", *end = strchr(text, '\n');
	char *first;

	if ((first = end ? smx_strndup(text, (size_t)(end - text)) : smx_strdup(text)) == NULL)
		return y;
	y = put_text(b, first, b->large, y);
	smx_free(first);
	if (!end)
		return y;
	return put_text(b, end + 1, is_laid_out(end + 1) ? b->fixed : b->font, y);
}

static void fill(struct box *b)
{
	int width = b->width, margin = scaled(b, MARGIN), y = margin;
	int button = scaled(b, BUTTON_WIDTH), high = scaled(b, BUTTON_HIGH);
	int right = margin + width;
	RECT rect;

	y = put_description(b, y);
	if (b->q->error && *b->q->error)
		y = put_text(b, b->q->error, b->bold, y);
	if (b->q->label) {
		y = put_text(b, b->q->label, b->font, y) - scaled(b, GAP / 2);
		b->field = child(b, L"EDIT", L"", WS_TABSTOP | ES_PASSWORD | ES_AUTOHSCROLL,
			ID_FIELD, margin, y, width, scaled(b, FIELD_HEIGHT));
		(void)SendMessageW(b->field, EM_SETLIMITTEXT, ANSWER_MAX, 0);
		y += scaled(b, FIELD_HEIGHT);
	}
	y += scaled(b, GAP);
	/* A question of yes or no has No as what Enter means: a key is trusted on purpose. */
	(void)child(b, L"BUTTON", b->q->label ? L"OK" : L"Yes",
		WS_TABSTOP | (b->q->label ? BS_DEFPUSHBUTTON : BS_PUSHBUTTON), IDOK,
		right - 2 * button - scaled(b, GAP), y, button, high);
	(void)child(b, L"BUTTON", b->q->label ? L"Cancel" : L"No",
		WS_TABSTOP | (b->q->label ? BS_PUSHBUTTON : BS_DEFPUSHBUTTON), IDCANCEL,
		right - button, y, button, high);
	rect = (RECT){ 0, 0, width + 2 * margin, y + high + margin };
	(void)AdjustWindowRectEx(&rect, (DWORD)GetWindowLongW(b->window, GWL_STYLE), FALSE,
		(DWORD)GetWindowLongW(b->window, GWL_EXSTYLE));
	width = rect.right - rect.left;
	high = rect.bottom - rect.top;
	(void)SetWindowPos(b->window, HWND_TOPMOST, (GetSystemMetrics(SM_CXSCREEN) - width) / 2,
		(GetSystemMetrics(SM_CYSCREEN) - high) / 3, width, high, 0);
}

static void over(struct box *b, int r)
{
	if (b->is_over)
		return;
	b->is_over = 1;
	b->r = r;
	if (r == 0 && b->field)
		(void)GetWindowTextW(b->field, b->answer, ANSWER_MAX + 1);
	if (b->field) {
		/* What it kept is overwritten before it is given back. */
		wchar_t blank[ANSWER_MAX + 1];

		wmemset(blank, L'x', ANSWER_MAX);
		blank[ANSWER_MAX] = L'\0';
		(void)SetWindowTextW(b->field, blank);
	}
	(void)DestroyWindow(b->window);
}

static LRESULT CALLBACK on_message(HWND window, UINT message, WPARAM w, LPARAM l)
{
	struct box *b = (struct box *)GetWindowLongPtrW(window, GWLP_USERDATA);

	switch (message) {
	case WM_COMMAND:
		if (b && LOWORD(w) == IDOK)
			over(b, 0);
		else if (b && LOWORD(w) == IDCANCEL)
			over(b, SMX_ECANCELLED);
		return 0;
	case WM_CLOSE:
		if (b)
			over(b, SMX_ECANCELLED);
		return 0;
	case WM_TIMER:
		if (b && b->stop && atomic_load(b->stop))
			over(b, SMX_ECANCELLED);
		return 0;
	case WM_DESTROY:
		PostQuitMessage(0);
		return 0;
	default:
		return DefWindowProcW(window, message, w, l);
	}
}

static int open_box(struct box *b)
{
	static const wchar_t class[] = L"ssh-mux-question";
	const WNDCLASSEXW c = {
		.cbSize = sizeof(c),
		.lpfnWndProc = on_message,
		.hInstance = GetModuleHandleW(NULL),
		.hCursor = LoadCursorW(NULL, (LPCWSTR)IDC_ARROW),
		.hbrBackground = (HBRUSH)(COLOR_BTNFACE + 1),
		.lpszClassName = class,
	};
	wchar_t *title;
	int r;

	if ((r = smx_win_wide(b->q->title, &title)) != 0)
		return r;
	(void)RegisterClassExW(&c); /* the second time it is there */
	b->window = CreateWindowExW(WS_EX_TOPMOST | WS_EX_DLGMODALFRAME | WS_EX_CONTROLPARENT,
		class, title, WS_POPUP | WS_CAPTION | WS_SYSMENU, 0, 0, 0, 0, NULL, NULL,
		c.hInstance, NULL);
	smx_free(title);
	if (!b->window)
		return SMX_ENOTFOUND;
	(void)SetWindowLongPtrW(b->window, GWLP_USERDATA, (LONG_PTR)b);
	fill(b);
	(void)SetTimer(b->window, STOP_TIMER, STOP_MS, NULL);
	(void)ShowWindow(b->window, SW_SHOW);
	/* A process that nobody uses at the moment may not take the keys; it can ask for them. */
	if (!SetForegroundWindow(b->window))
		(void)FlashWindowEx(&(FLASHWINFO){ .cbSize = sizeof(FLASHWINFO),
			.hwnd = b->window,
			.dwFlags = FLASHW_ALL | FLASHW_TIMERNOFG });
	(void)SetFocus(b->field ? b->field : GetDlgItem(b->window, IDCANCEL));
	return 0;
}

static int give(struct box *b, char *ret_answer, size_t size)
{
	char *text;
	int r;

	if ((r = smx_win_utf8(b->answer, &text)) != 0)
		return r == SMX_EINVAL ? SMX_ECANCELLED : r;
	r = strlen(text) < size ? 0 : SMX_ELIMIT;
	if (r == 0)
		memcpy(ret_answer, text, strlen(text) + 1);
	smx_wipe_free(text, strlen(text));
	return r;
}

static int ask_native(const struct smx_os_window_question *q, const atomic_int *stop,
	char *ret_answer, size_t size)
{
	/* Loads the library that draws them, if the program's manifest says so. */
	const INITCOMMONCONTROLSEX controls = { sizeof(controls), ICC_STANDARD_CLASSES };
	struct box *b = smx_calloc(1, sizeof(*b));
	MSG message;
	int r;

	if (!b)
		return SMX_ENOMEM;
	b->q = q;
	b->stop = stop;
	(void)InitCommonControlsEx(&controls);
	make_fonts(b);
	make_width(b);
	if ((r = open_box(b)) == 0) {
		while (GetMessageW(&message, NULL, 0, 0) > 0) {
			if (IsDialogMessageW(b->window, &message))
				continue;
			(void)TranslateMessage(&message);
			(void)DispatchMessageW(&message);
		}
		r = b->is_over ? b->r : SMX_ESYS;
		if (r == 0 && q->label)
			r = give(b, ret_answer, size);
	}
	(void)DeleteObject(b->font);
	(void)DeleteObject(b->bold);
	(void)DeleteObject(b->large);
	(void)DeleteObject(b->fixed);
	smx_wipe_free(b, sizeof(*b));
	return r;
}

int smx_os_has_window(void)
{
	return 1;
}

int smx_os_window_ask(enum smx_os_window_kind kind, const struct smx_os_window_question *q,
	const atomic_int *stop, char *ret_answer, size_t size)
{
	if (stop && atomic_load(stop))
		return SMX_ECANCELLED;
	return kind == SMX_OS_WINDOW_NATIVE ? ask_native(q, stop, ret_answer, size)
					    : smx_win_ask_by_script(q, stop, ret_answer, size);
}
