/* SPDX-License-Identifier: MIT */
/* The client commands against daemons that behave and daemons that don't (D1, P8, S5, S7). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "os/ipc.h"
#include "os/path.h"
#include "os/process.h"

#define HELLO "{\"ssh_mux\":\"hello\",\"version\":1,\"program\":\"0.1.0\",\"pid\":1}\n"

/* Takes the place of the daemon in the command line's library; never called here. */
int smx_daemon_run(const struct smx_serve_options *opts)
{
	(void)opts;
	return SMX_ESTATE;
}

static char dir[64];
static pid_t child;

/* What the child says first, what it wants to hear, what it says then; then it hangs up. */
struct script {
	const char *first, *wants, *then;
	unsigned pause_us; /* before it hangs up */
};

static void say(int fd, const char *text)
{
	if (text && smx_os_ipc_write(fd, text, strlen(text), 5000) != 0)
		_exit(3);
}

/* Reads until `wants` was seen. */
static void hear(int fd, const char *wants)
{
	char got[4096] = "";
	size_t at = 0, n;

	while (wants && !strstr(got, wants)) {
		if (smx_os_ipc_read(fd, got + at, sizeof(got) - 1 - at, 5000, &n) != 0)
			_exit(4);
		at += n;
		got[at] = '\0';
	}
}

static void serve(const struct script *s, int ready)
{
	struct smx_os_ipc_server *server;
	struct pollfd p = { .events = POLLIN };
	char *path;
	int fd;

	alarm(20);
	if (smx_os_control_path(dir, &path, NULL) != 0 ||
		smx_os_ipc_listen(path, &server, NULL) != 0 || write(ready, "x", 1) != 1)
		_exit(1);
	p.fd = smx_os_ipc_server_fd(server);
	if (poll(&p, 1, 10000) != 1 || (fd = accept(p.fd, NULL, NULL)) < 0)
		_exit(2);
	say(fd, s->first);
	hear(fd, s->wants);
	say(fd, s->then);
	usleep(s->pause_us);
	smx_os_ipc_server_free(server);
	close(fd);
	_exit(0);
}

static char out_text[16384], err_text[16384];

static void slurp(FILE *f, char *text, size_t size)
{
	size_t n;

	rewind(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
}

static int run_against(const char *command, const char *option, const struct script *s)
{
	char words[3][32] = { "ssh-mux" };
	char *argv[4] = { words[0], words[1], option ? words[2] : NULL, NULL };
	FILE *out = tmpfile(), *err = tmpfile();
	int ready[2], saved_out = dup(1), saved_err = dup(2), code, status;
	char c;

	(void)snprintf(words[1], sizeof(words[1]), "%s", command);
	(void)snprintf(words[2], sizeof(words[2]), "%s", option ? option : "");
	fflush(stdout);
	fflush(stderr);
	assert_int_equal(pipe(ready), 0);
	child = fork();
	if (child == 0)
		serve(s, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	assert_true(dup2(fileno(out), 1) == 1 && dup2(fileno(err), 2) == 2);
	optind = 0;
	code = smx_cli_main(option ? 3 : 2, argv);
	fflush(stdout);
	fflush(stderr);
	assert_true(dup2(saved_out, 1) == 1 && dup2(saved_err, 2) == 2);
	close(saved_out);
	close(saved_err);
	slurp(out, out_text, sizeof(out_text));
	slurp(err, err_text, sizeof(err_text));
	(void)kill(child, SIGCONT);
	assert_int_equal(waitpid(child, &status, 0), child);
	return code;
}

static void expect(int code, const char *command, const struct script *s, const char *says)
{
	int got = run_against(command, NULL, s);

	if (got != code || (says && !strstr(err_text, says)))
		print_message("%d %s%s", got, err_text, out_text);
	assert_int_equal(got, code);
	if (says) {
		assert_non_null(strstr(err_text, says));
		assert_int_equal(strcspn(err_text, "\n") + 1, strlen(err_text)); /* one line */
	} else {
		assert_string_equal(err_text, "");
	}
	assert_string_equal(out_text, "");
}

static void d1_simple_commands(void **state)
{
	(void)state;
	expect(0, "lock",
		&(struct script){ HELLO, "\"cmd\":\"lock\"", "{\"id\":1,\"ok\":true}\n", 0 }, NULL);
	expect(0, "unlock",
		&(struct script){ HELLO, "\"cmd\":\"unlock\"",
			"{\"new\":[{}],\"ok\":true,\"id\":1,\"more\":true}\n{\"id\":1,\"ok\":true}"
			"\n",
			0 },
		NULL);
}

/* `stop` returns when the endpoint is free, so that `serve` may follow at once. */
static void d1_stop_waits_for_the_end(void **state)
{
	uint64_t start = smx_os_monotonic_ms();
	char *path;

	(void)state;
	expect(0, "stop",
		&(struct script){
			HELLO, "\"cmd\":\"stop\"", "{\"id\":1,\"ok\":true}\n", 300 * 1000 },
		NULL);
	assert_true(smx_os_monotonic_ms() - start >= 290);
	assert_int_equal(smx_os_control_path(dir, &path, NULL), 0);
	assert_int_equal(access(path, F_OK), -1);
	smx_free(path);
}

static void status_text_and_json(void **state)
{
	static const char answer[] =
		"{\"id\":1,\"ok\":true,\"more\":true,\"daemon\":{\"version\":\"0.1.0\",\"pid\":7,"
		"\"uptime_s\":61,\"locked\":true,\"port\":2222,\"ssh_dir\":\"/x\"}}\n"
		"{\"id\":1,\"ok\":true,\"more\":true,\"route\":{\"name\":\"web\"}}\n"
		"{\"id\":1,\"ok\":true}\n";

	(void)state;
	assert_int_equal(run_against("status", NULL,
				 &(struct script){ HELLO, "\"cmd\":\"status\"", answer, 0 }),
		0);
	assert_non_null(
		strstr(out_text, "ssh-mux 0.1.0, process 7, up 1m01s, 127.0.0.1 port 2222\n"));
	assert_non_null(strstr(out_text, "LOCKED"));
	assert_non_null(strstr(out_text, "Routes: 1\n"));
	assert_string_equal(err_text, "");
	assert_int_equal(run_against("status", "--json",
				 &(struct script){ HELLO, "\"cmd\":\"status\"", answer, 0 }),
		0);
	assert_memory_equal(out_text, "{\"version\":\"0.1.0\"", 18);
	assert_non_null(strstr(out_text, "\"clients\":[],\"channels\":[]}\n"));
}

static void refusals_are_said(void **state)
{
	(void)state;
	expect(69, "lock",
		&(struct script){ HELLO, "lock",
			"{\"id\":1,\"ok\":false,\"code\":\"failed\",\"error\":\"can't\","
			"\"remedy\":\"wait\"}\n",
			0 },
		"ssh-mux: can't; wait\n");
	expect(76, "lock",
		&(struct script){ HELLO, "lock",
			"{\"id\":1,\"ok\":false,\"code\":\"unknown-command\",\"error\":\"what?\"}"
			"\n",
			0 },
		"ssh-mux: what?\n");
	expect(69, "lock",
		&(struct script){
			"{\"id\":-1,\"ok\":false,\"code\":\"busy\",\"error\":\"too many\"}\n", NULL,
			NULL, 0 },
		"ssh-mux: too many\n");
	expect(76, "status",
		&(struct script){ "{\"ssh_mux\":\"hello\",\"version\":9,\"min_version\":8,"
				  "\"program\":\"9.0\"}\n",
			NULL, NULL, 0 },
		"the daemon (9.0) is too new");
}

static void s7_misbehaving_daemons(void **state)
{
	static char endless[SMX_CONTROL_LINE_MAX + 100];

	(void)state;
	memset(endless, 'x', sizeof(endless) - 1);
	expect(69, "status", &(struct script){ NULL, NULL, NULL, 0 }, "closed the connection");
	expect(69, "status", &(struct script){ "{\"ssh_mux\":", NULL, NULL, 0 },
		"closed the connection");
	expect(76, "status", &(struct script){ "SSH-2.0-OpenSSH_9.2\r\n", NULL, NULL, 0 },
		"can't be understood");
	expect(76, "status", &(struct script){ endless, NULL, NULL, 0 }, "can't be understood");
	expect(69, "lock", &(struct script){ HELLO, "lock", NULL, 0 }, "closed the connection");
	expect(76, "lock", &(struct script){ HELLO, "lock", "{\"id\":1}\n", 0 },
		"can't be understood");
	expect(76, "lock", &(struct script){ HELLO, "lock", "{\"id\":2,\"ok\":true}\n", 0 },
		"can't be understood");
	expect(76, "status",
		&(struct script){
			HELLO, "status", "{\"id\":1,\"ok\":true,\"more\":true,\"route\":7}\n", 0 },
		"can't be understood");
	expect(69, "status",
		&(struct script){
			HELLO, "status", "{\"id\":1,\"ok\":true,\"more\":true,\"route\":{}}\n", 0 },
		"closed the connection");
}

/* S5: a runtime directory that others could have made is not used. */
static void s5_unsafe_runtime_dir(void **state)
{
	char path[128], *argv[] = { (char[]){ "ssh-mux" }, (char[]){ "lock" }, NULL };
	struct smx_buf err;
	char *control = NULL;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/ssh-mux", dir);
	assert_int_equal(chmod(path, 0755), 0);
	smx_buf_init(&err, 4096);
	assert_int_equal(smx_os_control_path(dir, &control, &err), SMX_EUNSAFE);
	smx_buf_release(&err);
	optind = 0;
	assert_int_equal(smx_cli_main(2, argv), SMX_EXIT_NOPERM);
	assert_int_equal(chmod(path, 0700), 0);
}

static int group_setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/smx-cli-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(setenv("SSH_MUX_SSH_DIR", dir, 1), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", dir, 1), 0);
	return 0;
}

static int group_teardown(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(d1_simple_commands),
		cmocka_unit_test(d1_stop_waits_for_the_end),
		cmocka_unit_test(status_text_and_json),
		cmocka_unit_test(refusals_are_said),
		cmocka_unit_test(s7_misbehaving_daemons),
		cmocka_unit_test(s5_unsafe_runtime_dir),
	};

	return cmocka_run_group_tests_name("cli_client", tests, group_setup, group_teardown);
}
