/* SPDX-License-Identifier: MIT */
/*
 * Our readers against OpenSSH's programs, on files that nobody would write: known_hosts against
 * `ssh-keygen -F` (K1, K3), the words of ssh_config against `ssh -G` (C3), private keys against
 * `ssh-keygen -y` (A1). A fixed number of cases; SMX_SEED chooses others, SMX_CASES more of them.
 *
 * One difference is left out: a tab after a marker of known_hosts, which makes it an unknown marker
 * for OpenSSH. For us it is the marker, so that @revoked revokes.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/keyfile.h"
#include "sshconf/ssh_config.h"
#include "trust/known_hosts.h"
#include "trust_data.h"
#include "util_data.h"

#define OUTPUT_MAX (256u << 10)

static char dir[64], file[96];
static uint32_t seed;
static unsigned n_cases;

static unsigned pick(unsigned n)
{
	return (test_rand(&seed) >> 8) % n;
}

#define PICK(array) ((array)[pick(SMX_ARRAY_LEN(array))])

static void write_file(struct smx_view text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.len), (ssize_t)text.len);
	assert_int_equal(close(fd), 0);
}

static void exec_quietly(const char *const argv[], int out)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(out, 1) < 0 || dup2(nothing, 2) < 0)
		_exit(126);
	(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Its exit status; out has what it printed. */
static int run(struct smx_buf *out, const char *const argv[])
{
	uint8_t piece[4096];
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	smx_buf_reset(out);
	assert_int_equal(pipe(fds), 0);
	assert_true((pid = fork()) >= 0);
	if (pid == 0)
		exec_quietly(argv, fds[1]);
	assert_int_equal(close(fds[1]), 0);
	while ((n = read(fds[0], piece, sizeof(piece))) > 0)
		assert_int_equal(smx_buf_put(out, piece, (size_t)n), 0);
	assert_int_equal(close(fds[0]), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_not_equal(WEXITSTATUS(status), 126); /* those of exec_quietly */
	assert_int_not_equal(WEXITSTATUS(status), 127);
	return WEXITSTATUS(status);
}

static void put(struct smx_buf *b, const char *s)
{
	assert_int_equal(smx_buf_put_str(b, s), 0);
}

/* --- known_hosts ------------------------------------------------------------------ */

static const char *const hosts[] = { "alpha", "b.example", "www.b.example", "10.0.0.7", "fe80::1" };
static const uint16_t ports[] = { 22, 2222 };
static const char *const data_keys[] = { "ed25519_a", "ecdsa256", "rsa_a" };
static const char *const patterns[] = { "alpha", "ALPHA", "b.example", "*.example", "*.b.example",
	"?lpha", "alph?", "*", "10.0.0.*", "10.0.0.7", "[alpha]:2222", "[b.example]:2222",
	"[*]:2222", "[*.example]:*", "fe80::1", "[fe80::1]:2222", "*:*", "", "alpha ", "**a", "|1|",
	"al\\pha", "[alpha]:22", "alpha:22", "\"alpha\"" };
static const char edits[] = "!*?,a.[]:2|@# \t\r\\\"";

static void put_patterns(struct smx_buf *line)
{
	for (unsigned n = 1 + pick(3); n > 0; n--) {
		if (pick(4) == 0)
			put(line, "!");
		put(line, PICK(patterns));
		put(line, n > 1 ? "," : "");
	}
}

static void put_known_line(struct smx_buf *line)
{
	static const char *const begins[] = { "", "", "", "", "", "@revoked ", "@cert-authority ",
		"@unknown ", "@", " ", "\t", "#" };
	static const char *const ends[] = { "\n", "\n", "\n", " a comment\n", "\r\n", " \n",
		"\n\n" };
	struct smx_buf key;
	size_t from = smx_buf_len(line), n;
	struct smx_view rest;

	smx_buf_init(&key, SMX_KEY_BLOB_MAX);
	data_put_blob(PICK(data_keys), &key);
	put(line, PICK(begins));
	if (pick(3) == 0) { /* hashed, as we write it */
		assert_int_equal(
			smx_known_hosts_line(PICK(hosts), PICK(ports), data_view(&key), 1, line),
			0);
		smx_buf_release(&key);
		return;
	}
	put_patterns(line);
	put(line, pick(5) ? " " : "\t \t");
	assert_int_equal(smx_pubkey_line_write(data_view(&key), line), 0);
	smx_buf_release(&key);
	put(line, PICK(ends));
	/* In a quarter of them one character is another, mostly where the names are. */
	rest = data_view(line);
	n = rest.len - from;
	if (pick(4) == 0)
		((uint8_t *)(uintptr_t)rest.p)[from + pick(pick(4) ? 20 : (unsigned)n)] =
			(uint8_t)edits[pick(sizeof(edits) - 1)];
}

/* Whether the text has "line N", followed by this. */
static int keygen_found(const char *text, unsigned number, const char **ret_what)
{
	char want[40];
	const char *at;

	(void)snprintf(want, sizeof(want), " found: line %u", number);
	for (at = strstr(text, want); at; at = strstr(at + 1, want)) {
		at += strlen(want);
		if (*at == ' ' || *at == '\n') {
			*ret_what = at;
			return 1;
		}
	}
	return 0;
}

static void compare_entry(const struct smx_known_entry *e, const char *theirs, const char *name,
	const char *text, char *is_ours)
{
	static const char *const words[] = { [SMX_KNOWN_PLAIN] = " \n",
		[SMX_KNOWN_CA] = " CA",
		[SMX_KNOWN_REVOKED_KEY] = " REVOKED" };
	const char *what;

	if (e->without_port)
		return;
	is_ours[e->line] = 1;
	/* It has a broken key, which ssh-keygen does not look at, or is none for it. */
	if (e->marker == SMX_KNOWN_SKIPPED)
		return;
	if (!keygen_found(theirs, e->line, &what))
		fail_msg("%s: line %u names it for us alone:\n%s", name, e->line, text);
	if (strncmp(what, words[e->marker], strlen(words[e->marker])) != 0)
		fail_msg("%s: line %u is%.12s for ssh-keygen:\n%s", name, e->line, what, text);
}

static void compare_known(const struct smx_known_hosts *kh, const char *host, uint16_t port,
	const char *text, unsigned n_lines)
{
	char name[SMX_KNOWN_NAME_MAX], is_ours[64] = { 0 };
	const char *argv[] = { "ssh-keygen", "-F", name, "-f", file, NULL };
	struct smx_known_entry e;
	struct smx_buf out;
	const char *what;
	size_t cursor = 0;

	assert_true(n_lines < sizeof(is_ours));
	smx_buf_init(&out, OUTPUT_MAX);
	assert_int_equal(smx_known_hosts_name(host, port, name, sizeof(name)), 0);
	(void)run(&out, argv);
	put(&out, "");
	while (smx_known_hosts_next(kh, host, port, &cursor, &e) == 1)
		compare_entry(&e, smx_buf_cstr(&out), name, text, is_ours);
	for (unsigned i = 1; i <= n_lines; i++)
		if (!is_ours[i] && keygen_found(smx_buf_cstr(&out), i, &what))
			fail_msg("%s: line %u names it for ssh-keygen alone:\n%s", name, i, text);
	smx_buf_release(&out);
}

static unsigned count_lines(const char *text)
{
	unsigned n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n + 1;
}

static void K1_K3_known_hosts_are_found_as_by_ssh_keygen(void **state)
{
	struct smx_known_hosts *kh;
	struct smx_buf text;

	(void)state;
	smx_buf_init(&text, 1 << 20);
	for (unsigned i = 0; i < n_cases; i++) {
		smx_buf_reset(&text);
		for (unsigned n = 1 + pick(8); n > 0; n--)
			put_known_line(&text);
		write_file(data_view(&text));
		assert_int_equal(smx_known_hosts_new(&kh), 0);
		assert_int_equal(smx_known_hosts_add_text(kh, "f", data_view(&text), NULL), 0);
		compare_known(kh, PICK(hosts), PICK(ports), smx_buf_cstr(&text),
			count_lines(smx_buf_cstr(&text)));
		smx_known_hosts_free(kh);
	}
	smx_buf_release(&text);
}

/* --- the words of ssh_config ------------------------------------------------------ */

/* Names of SendEnv: the words that ssh -G shows as they are. "-" would take one away. */
static const char *const pieces[] = { "A", "b1", "C_", " ", "  ", "\t", "\"", "'", "\\", "\\\"",
	"\\'", "\\\\", "\\ ", "#", " #", "\"a b\"", "'c d'", "*", "?", "!", "\r", "\f", "," };
static const char *const keywords[] = { "SendEnv ", "SendEnv=", "SendEnv = ", "sendenv\t",
	"\"SendEnv\" ", " SendEnv =", "SENDENV  ", "\tSendEnv= ", "=SendEnv " };

static void expect_words(const struct smx_ssh_config_line *l, const char *theirs, const char *text)
{
	char want[200];
	const char *at = theirs;

	for (size_t i = 0; i < l->n_words; i++) {
		(void)snprintf(want, sizeof(want), "\nsendenv %s\n", l->words[i].text);
		if ((at = strstr(at, want)) == NULL)
			fail_msg("word %zu is \"%s\" for us alone: %s", i, l->words[i].text, text);
		at += strlen(want) - 1;
	}
	if (strstr(at, "\nsendenv "))
		fail_msg("ssh has another word: %.60s: %s", strstr(at, "\nsendenv "), text);
}

static void compare_words(struct smx_view text)
{
	const char *argv[] = { "ssh", "-G", "-F", file, "h", NULL };
	struct smx_ssh_config_reader rd;
	struct smx_ssh_config_line l;
	struct smx_buf out;
	int is_taken, has_empty = 0, found;

	smx_buf_init(&out, OUTPUT_MAX);
	is_taken = run(&out, argv) == 0;
	put(&out, "");
	smx_ssh_config_reader_init(&rd, text);
	if ((found = smx_ssh_config_next(&rd, &l)) == 0)
		l = (struct smx_ssh_config_line){ .n_words = 0 };
	/* An empty name, and none at all, are errors of SendEnv. */
	for (size_t i = 0; i < l.n_words; i++)
		has_empty |= l.words[i].text[0] == '\0';
	if (l.fault || has_empty) {
		if (is_taken)
			fail_msg("a fault for us alone: %s", (const char *)text.p);
	} else if (!is_taken && l.n_words > 0) {
		fail_msg("a fault for ssh alone: %s", (const char *)text.p);
	} else if (is_taken) {
		expect_words(&l, smx_buf_cstr(&out), (const char *)text.p);
	}
	smx_ssh_config_reader_release(&rd);
	smx_buf_release(&out);
}

static void C3_words_are_those_of_ssh(void **state)
{
	struct smx_buf text;

	(void)state;
	smx_buf_init(&text, 4096);
	for (unsigned i = 0; i < n_cases; i++) {
		smx_buf_reset(&text);
		put(&text, PICK(keywords));
		for (unsigned n = 1 + pick(7); n > 0; n--)
			put(&text, PICK(pieces));
		put(&text, "\n");
		assert_non_null(smx_buf_cstr(&text));
		write_file(data_view(&text));
		compare_words(data_view(&text));
	}
	smx_buf_release(&text);
}

/* --- key files -------------------------------------------------------------------- */

#define ARMOUR_BEGIN "-----BEGIN OPENSSH PRIVATE KEY-----\n"
#define ARMOUR_END   "\n-----END OPENSSH PRIVATE KEY-----\n"

/* What is inside the armour of a key file. */
static void put_inside(const char *name, struct smx_buf *out)
{
	char path[100];
	struct smx_view text, body;
	struct smx_buf lines;
	const char *end;

	(void)snprintf(path, sizeof(path), "keys/%s", name);
	text = test_read_file(path);
	smx_buf_init(&lines, SMX_KEYFILE_MAX);
	body = (struct smx_view){ text.p + strlen(ARMOUR_BEGIN), text.len - strlen(ARMOUR_BEGIN) };
	end = memchr(body.p, '-', body.len);
	assert_non_null(end);
	for (const char *p = (const char *)body.p; p < end; p++)
		if (*p != '\n')
			assert_int_equal(smx_buf_put(&lines, p, 1), 0);
	assert_int_equal(smx_base64_decode(out, data_view(&lines)), 0);
	smx_buf_release(&lines);
	test_free_view(text);
}

static void mutate(uint8_t *p, size_t *len)
{
	size_t at = pick((unsigned)*len), n;

	switch (pick(5)) {
	case 0: /* a bit */
		p[at] ^= (uint8_t)(1u << pick(8));
		break;
	case 1: /* a byte */
		p[at] = (uint8_t)pick(256);
		break;
	case 2: /* a number at the end of a length, by one */
		p[at] += pick(2) ? 1 : 255;
		break;
	case 3: /* the end */
		*len -= pick(40);
		break;
	default: /* a piece twice, at the cost of the end */
		n = pick(24) + 1;
		if (at + n < *len)
			memmove(p + at + n, p + at, *len - at - n);
		break;
	}
}

/*
 * What we take ssh-keygen takes too, and it is the same key. What is broken we may refuse alone, as
 * where the two public halves of a file differ. Returns whether we took it.
 */
static int compare_key(struct smx_view text, const char *about, int is_whole)
{
	const char *argv[] = { "ssh-keygen", "-y", "-P", "", "-f", file, NULL };
	struct smx_buf out, theirs, ours;
	struct smx_key *k = NULL;
	struct smx_view rest;
	int r, status;

	smx_buf_init(&out, OUTPUT_MAX);
	smx_buf_init(&theirs, SMX_KEY_BLOB_MAX);
	smx_buf_init(&ours, SMX_KEY_BLOB_MAX);
	write_file(text);
	status = run(&out, argv);
	r = smx_keyfile_parse(text, NULL, &k, NULL);
	if (r == 0 ? status != 0 : status == 0 && is_whole)
		fail_msg("%s: %s, ssh-keygen ends with %d:\n%.*s", about, smx_strerror(r), status,
			(int)text.len, (const char *)text.p);
	if (r == 0) {
		assert_int_equal(smx_pubkey_line_parse(data_view(&out), &theirs, &rest), 0);
		assert_int_equal(smx_key_to_blob(k, &ours), 0);
		if (!smx_view_eq_view(data_view(&ours), data_view(&theirs)))
			fail_msg("%s: another key:\n%.*s", about, (int)text.len,
				(const char *)text.p);
	}
	smx_key_free(k);
	smx_buf_release(&out);
	smx_buf_release(&theirs);
	smx_buf_release(&ours);
	return r == 0;
}

static void A1_key_files_are_taken_as_by_ssh_keygen(void **state)
{
	static const char *const names[] = { "ed25519", "ecdsa_256", "ecdsa_384", "rsa_2048" };
	struct smx_buf inside, text;
	unsigned n_taken = 0;

	(void)state;
	smx_buf_init(&inside, SMX_KEYFILE_MAX);
	smx_buf_init(&text, 2 * SMX_KEYFILE_MAX);
	for (unsigned i = 0; i < n_cases; i++) {
		const char *name = PICK(names);
		unsigned n_faults = pick(3);
		uint8_t copy[4096];
		size_t len;

		smx_buf_reset(&inside);
		put_inside(name, &inside);
		len = smx_buf_len(&inside);
		assert_true(len <= sizeof(copy));
		memcpy(copy, smx_buf_view(&inside), len);
		for (unsigned n = n_faults; n > 0; n--)
			mutate(copy, &len);
		smx_buf_reset(&text);
		put(&text, ARMOUR_BEGIN);
		assert_int_equal(smx_base64_encode(&text, copy, len, 1), 0);
		put(&text, ARMOUR_END);
		n_taken += (unsigned)compare_key(data_view(&text), name, n_faults == 0);
	}
	assert_true(n_taken > n_cases / 5 && n_taken < n_cases);
	smx_buf_release(&inside);
	smx_buf_release(&text);
}

/* --- all of it -------------------------------------------------------------------- */

static unsigned number_of(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static int set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/smx-differential-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(file, sizeof(file), "%s/f", dir);
	n_cases = number_of("SMX_CASES", 100);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	seed = number_of("SMX_SEED", 13);
	print_message("SMX_SEED=%u SMX_CASES=%u\n", seed, n_cases);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)unlink(file);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(K1_K3_known_hosts_are_found_as_by_ssh_keygen, begin),
		cmocka_unit_test_setup(C3_words_are_those_of_ssh, begin),
		cmocka_unit_test_setup(A1_key_files_are_taken_as_by_ssh_keygen, begin),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
