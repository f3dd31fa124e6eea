/* SPDX-License-Identifier: MIT */
/* What of it Windows has at little cost: mitigation policies of the process (os/confine.h). */
#include "os/confine.h"

#include <stdio.h>

#include "os/win/win.h"

void smx_os_confine(const struct smx_os_place *places, size_t n, struct smx_os_confined *ret)
{
	(void)places;
	(void)n;
	*ret = (struct smx_os_confined){ .text = "no (not on Windows)" };
}

int smx_os_confine_reads(const char *dir)
{
	(void)dir;
	return 1;
}

unsigned smx_os_landlock_version(void)
{
	return 0;
}
