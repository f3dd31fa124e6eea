/* SPDX-License-Identifier: MIT */
/* What is the same on every system. */
#include "os/common.h"

#include <string.h>

#include "base/mem.h"
#include "os/file.h"
#include "os/process.h"

int smx_os_stamp_equal(const struct smx_os_stamp *a, const struct smx_os_stamp *b)
{
	return a->mtime_ns == b->mtime_ns && a->changed_ns == b->changed_ns && a->size == b->size &&
	       a->inode == b->inode && a->device == b->device;
}

void smx_os_names_free(char **names, size_t count)
{
	for (size_t i = 0; names && i < count; i++)
		smx_free(names[i]);
	smx_free(names);
}

int smx_os_compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int smx_os_is_public_key_name(const char *name)
{
	size_t n = strlen(name);

	if (n <= strlen("id_.pub") || strncmp(name, "id_", 3) != 0 ||
		strcmp(name + n - 4, ".pub") != 0)
		return 0;
	for (; *name; name++)
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			return 0;
	return 1;
}

int smx_os_run(const char *const *argv, unsigned timeout_ms, struct smx_buf *out,
	struct smx_buf *err_out, int *ret_exit)
{
	return smx_os_run_until(argv, timeout_ms, NULL, out, err_out, ret_exit);
}
