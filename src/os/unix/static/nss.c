/* SPDX-License-Identifier: MIT */
/*
 * Only in the program without shared libraries (SMX_STATIC). glibc finds users and hosts by modules
 * named in /etc/nsswitch.conf, which are shared libraries of the very glibc that the program was
 * linked with; loading those of another may crash. So the two that are part of glibc itself are
 * chosen, whatever the file says: /etc/passwd, /etc/hosts and the domain name system.
 */
#include <nss.h>
#include <stdlib.h>

static void __attribute__((constructor)) choose_built_in_modules(void)
{
	/* Fails for want of memory alone; then the program must not go on with modules. */
	if (__nss_configure_lookup("passwd", "files") != 0 ||
		__nss_configure_lookup("group", "files") != 0 ||
		__nss_configure_lookup("services", "files") != 0 ||
		__nss_configure_lookup("hosts", "files dns") != 0)
		abort();
}
