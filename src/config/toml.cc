// SPDX-License-Identifier: MIT
// The one C++ file: toml++ behind config/toml.h. It is used with exceptions, because without them a
// failed allocation inside it would end the process; all of them are caught in smx_toml_parse.
#include "config/toml.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

/*
 * Its assertions are about what it has found in a text, and fail for some that are malformed: it
 * has to go on to its own error. Neither may they become promises to the compiler (NDEBUG).
 */
#undef NDEBUG
#define TOML_ASSERT(expr) static_assert(true)
#include <toml++/toml.h>

extern "C" {
#include "base/err.h"
#include "base/mem.h"
}

namespace
{

// Dots outside strings in one line. Together with the brackets they bound how deep toml++'s own
// tree can get ("a.a.a.a…" is a table a dot), which it builds and destroys recursively.
const unsigned line_dots_max = 64;

int report(struct smx_toml_error *error, unsigned line, unsigned column, std::string_view what)
{
	size_t n = std::min(what.size(), sizeof(error->what) - 1);

	error->line = line;
	error->column = column;
	for (size_t i = 0; i < n; i++)
		error->what[i] = what[i] >= 0x20 && what[i] < 0x7f ? what[i] : '?';
	error->what[n] = '\0';
	return SMX_ESYNTAX;
}

// Just enough of TOML's lexis to know what is inside a string or a comment.
class depth_check
{
      public:
	depth_check(const char *text_, size_t len_) : text(text_), len(len_)
	{
	}

	int run(struct smx_toml_error *error)
	{
		while (at < len) {
			char c = text[at];

			if (c == '#')
				skip_comment();
			else if (c == '"' || c == '\'')
				skip_string(c);
			else
				plain(c);
			if (depth > SMX_TOML_DEPTH_MAX)
				return report(error, line, column(), "nested too deep");
			if (dots > line_dots_max)
				return report(error, line, column(), "too many dots in a line");
		}
		return 0;
	}

      private:
	const char *text;
	size_t len, at = 0, line_start = 0;
	unsigned line = 1, depth = 0, dots = 0;

	unsigned column() const
	{
		return static_cast<unsigned>(at - line_start);
	}

	void newline()
	{
		line++;
		line_start = at;
		dots = 0;
	}

	void plain(char c)
	{
		at++;
		if (c == '[' || c == '{')
			depth++;
		else if ((c == ']' || c == '}') && depth > 0)
			depth--;
		else if (c == '.')
			dots++;
		else if (c == '\n')
			newline();
	}

	void skip_comment()
	{
		while (at < len && text[at] != '\n')
			at++;
	}

	bool triple(char quote) const
	{
		return len - at >= 3 && text[at] == quote && text[at + 1] == quote &&
		       text[at + 2] == quote;
	}

	void skip_string(char quote)
	{
		bool multi = triple(quote);

		at += multi ? 3 : 1;
		while (at < len) {
			char c = text[at];

			if (multi ? triple(quote) : c == quote) {
				at += multi ? 3 : 1;
				// A multi-line string may end in one or two quotes of its own.
				for (int i = 0; multi && i < 2 && at < len && text[at] == quote;
					i++)
					at++;
				return;
			}
			if (c == '\n' && !multi)
				return; // not TOML; toml++ will say so
			at++;
			if (c == '\n')
				newline();
			else if (c == '\\' && quote == '"' && at < len && text[at] != '\n')
				at++;
		}
	}
};

void set_place(struct smx_toml *t, const toml::source_region &source)
{
	t->line = source.begin.line;
	t->column = source.begin.column;
}

int convert(const toml::node &node, unsigned depth, struct smx_toml **ret,
	struct smx_toml_error *error);

int copy_text(std::string_view from, char **ret, size_t *ret_len)
{
	*ret = smx_strndup(from.data() ? from.data() : "", from.size());
	if (!*ret)
		return SMX_ENOMEM;
	*ret_len = from.size();
	return 0;
}

int convert_array(
	const toml::array &array, unsigned depth, struct smx_toml *t, struct smx_toml_error *error)
{
	int r;

	t->type = SMX_TOML_ARRAY;
	t->items = static_cast<struct smx_toml **>(smx_calloc(array.size(), sizeof(*t->items)));
	if (!t->items)
		return SMX_ENOMEM;
	for (const toml::node &item : array) {
		if ((r = convert(item, depth + 1, &t->items[t->n_items], error)) != 0)
			return r;
		t->n_items++;
	}
	return 0;
}

bool is_before(const struct smx_toml *a, const struct smx_toml *b)
{
	return a->key_line != b->key_line ? a->key_line < b->key_line
					  : a->key_column < b->key_column;
}

int convert_table(
	const toml::table &table, unsigned depth, struct smx_toml *t, struct smx_toml_error *error)
{
	struct smx_toml *item;
	int r;

	t->type = SMX_TOML_TABLE;
	t->items = static_cast<struct smx_toml **>(smx_calloc(table.size(), sizeof(*t->items)));
	if (!t->items)
		return SMX_ENOMEM;
	for (auto it = table.cbegin(); it != table.cend(); ++it) {
		const toml::key &key = it->first;

		if ((r = convert(it->second, depth + 1, &t->items[t->n_items], error)) != 0)
			return r;
		item = t->items[t->n_items++];
		item->key_line = key.source().begin.line;
		item->key_column = key.source().begin.column;
		if ((r = copy_text(key.str(), &item->key, &item->key_len)) != 0)
			return r;
	}
	// toml++ keeps them by name; messages and lists want the order of the file.
	std::sort(t->items, t->items + t->n_items, is_before);
	return 0;
}

int convert_into(
	const toml::node &node, unsigned depth, struct smx_toml *t, struct smx_toml_error *error)
{
	set_place(t, node.source());
	if (depth > SMX_TOML_DEPTH_MAX)
		return report(error, t->line, t->column, "nested too deep");
	if (const toml::table *table = node.as_table())
		return convert_table(*table, depth, t, error);
	if (const toml::array *array = node.as_array())
		return convert_array(*array, depth, t, error);
	if (const toml::value<std::string> *string = node.as_string()) {
		t->type = SMX_TOML_STRING;
		return copy_text(string->get(), &t->string, &t->string_len);
	}
	if (const toml::value<int64_t> *integer = node.as_integer()) {
		t->type = SMX_TOML_INTEGER;
		t->integer = integer->get();
		return 0;
	}
	if (const toml::value<bool> *boolean = node.as_boolean()) {
		t->type = SMX_TOML_BOOLEAN;
		t->boolean = boolean->get();
		return 0;
	}
	t->type = SMX_TOML_OTHER;
	return 0;
}

int convert(
	const toml::node &node, unsigned depth, struct smx_toml **ret, struct smx_toml_error *error)
{
	struct smx_toml *t = static_cast<struct smx_toml *>(smx_calloc(1, sizeof(*t)));
	int r;

	if (!t)
		return SMX_ENOMEM;
	if ((r = convert_into(node, depth, t, error)) != 0) {
		smx_toml_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

} // namespace

extern "C" int smx_toml_parse(
	const char *text, size_t len, struct smx_toml **ret, struct smx_toml_error *ret_error)
{
	int r;

	if (len > SMX_TOML_TEXT_MAX)
		return report(ret_error, 0, 0, "longer than 1 MiB");
	try {
		if ((r = depth_check(text, len).run(ret_error)) != 0)
			return r;
		toml::table table = toml::parse(std::string_view(len ? text : "", len));
		return convert(table, 0, ret, ret_error);
	} catch (const toml::parse_error &e) {
		return report(
			ret_error, e.source().begin.line, e.source().begin.column, e.description());
	} catch (const std::bad_alloc &) {
		return SMX_ENOMEM;
	} catch (...) {
		return report(ret_error, 0, 0, "the parser failed");
	}
}

extern "C" void smx_toml_free(struct smx_toml *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n_items; i++)
		smx_toml_free(t->items[i]);
	smx_free(t->items);
	smx_free(t->key);
	smx_free(t->string);
	smx_free(t);
}

extern "C" const struct smx_toml *smx_toml_get(const struct smx_toml *table, const char *key)
{
	size_t n = std::strlen(key);

	if (table->type != SMX_TOML_TABLE)
		return nullptr;
	for (size_t i = 0; i < table->n_items; i++) {
		const struct smx_toml *item = table->items[i];

		if (item->key_len == n && std::memcmp(item->key, key, n) == 0)
			return item;
	}
	return nullptr;
}

extern "C" const char *smx_toml_type_name(enum smx_toml_type type)
{
	switch (type) {
	case SMX_TOML_TABLE:
		return "a table";
	case SMX_TOML_ARRAY:
		return "an array";
	case SMX_TOML_STRING:
		return "a string";
	case SMX_TOML_INTEGER:
		return "an integer";
	case SMX_TOML_BOOLEAN:
		return "a boolean";
	case SMX_TOML_OTHER:
		break;
	}
	return "a number, date or time";
}
