/* SPDX-License-Identifier: MIT */
/* The ssh client: which one, and how old. */
#include "cli/doctor/doctor.h"
#include "os/file.h"
#include "os/process.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/kex.h"
#include "sshconf/hosts_conf.h"

#define VERSION_TIMEOUT_MS 5000
#define VERSION_MAX        1024
/* Include (7.3) is what setup-config stands on; what is tested begins with 8.5. */
#define MINIMUM_MAJOR 7
#define MINIMUM_MINOR 3
#define TESTED_MAJOR  8
#define TESTED_MINOR  5
/* Warns of key exchanges that a quantum computer could undo. */
#define WARNS_MAJOR 10
#define WARNS_MINOR 1

static int is_older(const struct doctor *d, unsigned major, unsigned minor)
{
	return d->ssh_major < major || (d->ssh_major == major && d->ssh_minor < minor);
}

/* "OpenSSH_9.2p1 Debian-2+deb12u3, …", "OpenSSH_for_Windows_9.5p1, …" */
static int parse_version(struct doctor *d, const char *text)
{
	const char *s = strstr(text, "OpenSSH_");

	if (!s)
		return 0;
	s += strcspn(s, "0123456789");
	return sscanf(s, "%3u.%3u", &d->ssh_major, &d->ssh_minor) == 2;
}

/* 1 if hosts.conf mentions a word. */
static int hosts_say(struct doctor *d, const char *word)
{
	struct smx_buf text;
	char *path = NULL;
	int found = 0;

	smx_buf_init(&text, SMX_HOSTS_CONF_MAX + 1);
	if (doctor_read(d, SMX_HOSTS_FILE, SMX_HOSTS_CONF_MAX, SMX_OS_FILE_PLAIN, &path, &text,
		    NULL) == 0 &&
		smx_buf_cstr(&text))
		found = strstr(smx_buf_cstr(&text), word) != NULL;
	smx_free(path);
	smx_buf_release(&text);
	return found;
}

static void judge_version(struct doctor *d, const char *version)
{
	if (is_older(d, MINIMUM_MAJOR, MINIMUM_MINOR))
		doctor_say(d, DOCTOR_FAIL,
			"install OpenSSH 8.5 or newer, or name one: --ssh-bin FILE",
			"%s is %s, too old for what ssh-mux writes (it has no Include)", d->ssh,
			version);
	else if (is_older(d, TESTED_MAJOR, TESTED_MINOR))
		doctor_say(d, DOCTOR_WARN,
			"install OpenSSH 8.5 or newer, or name one: --ssh-bin FILE",
			"%s is %s, older than what ssh-mux is tested with", d->ssh, version);
	else
		doctor_say(d, DOCTOR_OK, NULL, "%s is %s", d->ssh, version);
	if (!is_older(d, WARNS_MAJOR, WARNS_MINOR) && !strstr(smx_kex_server_names(), "mlkem") &&
		d->via == DOCTOR_VIA_TCP && !hosts_say(d, "WarnWeakCrypto"))
		doctor_say(d, DOCTOR_NOTE,
			"to have it quiet for ssh-mux's own hosts, run: ssh-mux "
			"setup-config",
			"this ssh warns at each call that the hop to 127.0.0.1 is not post-quantum "
			"(libcrypto has no ML-KEM); nobody can listen there");
}

void doctor_check_ssh(struct doctor *d)
{
	const char *argv[] = { NULL, "-V", NULL }, *text;
	struct smx_buf out;
	int r, code = 0;

	doctor_area(d, "ssh client");
	if (smx_os_find_program(d->ssh_option ? d->ssh_option : "ssh", &d->ssh) != 0) {
		doctor_say(d, DOCTOR_FAIL, "install OpenSSH's client, or name one: --ssh-bin FILE",
			"%s was not found%s", d->ssh_option ? d->ssh_option : "ssh",
			d->ssh_option ? "" : " in PATH");
		return;
	}
	argv[0] = d->ssh;
	smx_buf_init(&out, VERSION_MAX);
	r = smx_os_run(argv, VERSION_TIMEOUT_MS, &out, &out, &code);
	text = r == 0 && code == 0 ? smx_buf_cstr(&out) : NULL;
	if (text && parse_version(d, text)) {
		char version[80];

		(void)snprintf(
			version, sizeof(version), "%.*s", (int)strcspn(text, " ,\r\n"), text);
		judge_version(d, version);
	} else {
		doctor_say(d, DOCTOR_WARN, "name OpenSSH's: --ssh-bin FILE",
			"%s is not OpenSSH, or does not say its version%s%s", d->ssh,
			r != 0 ? ": " : "", r != 0 ? smx_strerror(r) : "");
		smx_free(d->ssh);
		d->ssh = NULL;
	}
	smx_buf_release(&out);
}
