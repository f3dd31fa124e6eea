/* SPDX-License-Identifier: MIT */
#include "base/err.h"

const char *smx_strerror(int err)
{
	switch (err) {
	case 0:
		return "success";
#define SMX_ERR_CASE(code, name, class, text) \
	case code:                            \
		return text;
		SMX_ERR_MAP(SMX_ERR_CASE)
#undef SMX_ERR_CASE
	default:
		return "unknown error";
	}
}

const char *smx_errname(int err)
{
	switch (err) {
	case 0:
		return "SMX_OK";
#define SMX_ERR_CASE(code, name, class, text) \
	case code:                            \
		return "SMX_E" #name;
		SMX_ERR_MAP(SMX_ERR_CASE)
#undef SMX_ERR_CASE
	default:
		return "SMX_EUNKNOWN";
	}
}

enum smx_err_class smx_errclass(int err)
{
	switch (err) {
#define SMX_ERR_CASE(code, name, class, text) \
	case code:                            \
		return SMX_CLASS_##class;
		SMX_ERR_MAP(SMX_ERR_CASE)
#undef SMX_ERR_CASE
	default:
		return SMX_CLASS_NONE;
	}
}
