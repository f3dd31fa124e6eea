/* SPDX-License-Identifier: MIT */
/*
 * A question asked by PowerShell in a console window of its own (A4, A5).
 *
 * The script is always the same, and nothing is put into it or on its command line: what is to be
 * asked comes to it as one line of JSON through a named pipe, whose random name stands in its
 * environment, and what was typed goes back the same way. The pipe is ours alone (first instance,
 * our SID and no other), and only the process that we started is listened to.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/random.h"
#include "os/path.h"
#include "os/win/dacl.h"
#include "os/win/spawn.h"
#include "os/win/window.h"
#include "os/window.h"

#define LINE_MAX_LEN  8192
#define TURN_MS       50
#define PIPE_VARIABLE L"SSH_MUX_PROMPT_PIPE"

static const char script[] =
	"$ErrorActionPreference = 'Stop'\n"
	"try {\n"
	"$Host.UI.RawUI.WindowTitle = 'ssh-mux OTP'\n"
	"$pipe = New-Object System.IO.Pipes.NamedPipeClientStream('.', $env:SSH_MUX_PROMPT_PIPE,"
	" [System.IO.Pipes.PipeDirection]::InOut, [System.IO.Pipes.PipeOptions]::None,"
	" [System.Security.Principal.TokenImpersonationLevel]::Identification)\n"
	"$pipe.Connect(10000)\n"
	"$utf8 = New-Object System.Text.UTF8Encoding($false)\n"
	"$reader = New-Object System.IO.StreamReader($pipe, $utf8)\n"
	"} catch { exit 71 }\n"
	"$question = $reader.ReadLine() | ConvertFrom-Json\n"
	"Write-Host ''\n"
	"Write-Host ([string]$question.target) -ForegroundColor Cyan\n"
	"Write-Host ([string]$question.text)\n"
	"if ($question.error) { Write-Host ([string]$question.error) -ForegroundColor Yellow }\n"
	"Write-Host ''\n"
	"if ($question.confirm) {\n"
	"  do { $text = Read-Host 'Type yes or no' } until ($text -eq 'yes' -or $text -eq 'no')\n"
	"  $text = $text.ToLowerInvariant()\n"
	"} else {\n"
	"  $secure = Read-Host -Prompt ([string]$question.label) -AsSecureString\n"
	"  $raw = [System.Runtime.InteropServices.Marshal]::SecureStringToBSTR($secure)\n"
	"  try { $text = [System.Runtime.InteropServices.Marshal]::PtrToStringBSTR($raw) }\n"
	"  finally { [System.Runtime.InteropServices.Marshal]::ZeroFreeBSTR($raw) }\n"
	"}\n"
	"$writer = New-Object System.IO.StreamWriter($pipe, $utf8)\n"
	"$writer.Write((ConvertTo-Json -Compress @{ answer = $text }) + \"`n\")\n"
	"$writer.Flush()\n"
	"$pipe.WaitForPipeDrain()\n";

/* What is no end by the person's will: where PowerShell is restricted (Constrained Language Mode)
 * the script may not even make its end of the pipe, or PowerShell does not start at all. */
#define CONSOLE_CLOSED 0xc000013au /* the exit code then */

struct window {
	HANDLE pipe, event, process, job;
	const atomic_int *stop;
};

/* By the system's own word, not by %SystemRoot% or PATH, which anybody can set. smx_free. */
static int find_powershell(char **ret_path)
{
	static const char tail[] = "WindowsPowerShell\\v1.0\\powershell.exe";
	wchar_t wide[MAX_PATH + 1];
	UINT n = GetSystemDirectoryW(wide, MAX_PATH);
	char *dir;
	int r;

	if (n == 0 || n >= MAX_PATH)
		return SMX_ENOTFOUND;
	if ((r = smx_win_utf8(wide, &dir)) != 0)
		return r;
	r = smx_os_path_join(dir, tail, ret_path);
	smx_free(dir);
	return r;
}

/* The command line: always the same. smx_free. */
static int encode_script(char **ret)
{
	struct smx_buf utf16, text;
	wchar_t *wide;
	int r;

	if ((r = smx_win_wide(script, &wide)) != 0)
		return r;
	smx_buf_init(&utf16, 4 * sizeof(script));
	smx_buf_init(&text, 8 * sizeof(script));
	if ((r = smx_buf_put(&utf16, wide, wcslen(wide) * sizeof(*wide))) == 0 &&
		(r = smx_base64_encode(&text, smx_buf_view(&utf16), smx_buf_len(&utf16), 1)) == 0)
		r = smx_buf_cstr(&text) && (*ret = smx_strdup(smx_buf_cstr(&text))) ? 0
										    : SMX_ENOMEM;
	smx_buf_release(&utf16);
	smx_buf_release(&text);
	smx_free(wide);
	return r;
}

/* ---- the pipe ----------------------------------------------------------------------------------
 */

static int make_pipe(struct window *w, wchar_t *ret_name, size_t size)
{
	static const wchar_t prefix[] = L"\\\\.\\pipe\\";
	SECURITY_ATTRIBUTES sa = { .nLength = sizeof(sa) };
	uint64_t random[2];
	wchar_t full[128];
	int r;

	/* Without our SID there is no pipe: nobody else may read the answer (A4). */
	if ((r = smx_random(random, sizeof(random))) != 0 ||
		(r = smx_win_private_sd_of_pipe(&sa.lpSecurityDescriptor)) != 0)
		return r;
	(void)swprintf(ret_name, size, L"ssh-mux-otp-%016llx%016llx", (unsigned long long)random[0],
		(unsigned long long)random[1]);
	(void)swprintf(full, sizeof(full) / sizeof(full[0]), L"%ls%ls", prefix, ret_name);
	w->pipe = CreateNamedPipeW(full,
		PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
		PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS, 1,
		LINE_MAX_LEN, LINE_MAX_LEN, 0, &sa);
	(void)LocalFree(sa.lpSecurityDescriptor);
	if (w->pipe == INVALID_HANDLE_VALUE)
		return SMX_ESYS;
	w->event = CreateEventW(NULL, TRUE, FALSE, NULL);
	return w->event ? 0 : SMX_ESYS;
}

/*
 * An operation to its end, or to that of the window: closing it ends the process, and nothing else
 * would tell. 0 and the bytes; SMX_ECANCELLED.
 */
static int await(struct window *w, OVERLAPPED *o, DWORD *ret_n)
{
	HANDLE both[2] = { w->event, w->process };
	DWORD which;

	for (;;) {
		which = WaitForMultipleObjects(2, both, FALSE, TURN_MS);
		if (which == WAIT_OBJECT_0)
			return GetOverlappedResult(w->pipe, o, ret_n, FALSE) ? 0 : SMX_ECANCELLED;
		if (which == WAIT_TIMEOUT && !(w->stop && atomic_load(w->stop)))
			continue;
		(void)CancelIoEx(w->pipe, o);
		/* Done at the last moment counts: the script writes, then it ends. */
		if (GetOverlappedResult(w->pipe, o, ret_n, TRUE) &&
			!(w->stop && atomic_load(w->stop)))
			return 0;
		return SMX_ECANCELLED;
	}
}

static int is_pending(BOOL ok)
{
	return ok || GetLastError() == ERROR_IO_PENDING;
}

/* It has ended, or was given up, and nothing was asked. */
static int why_no_client(const struct window *w)
{
	DWORD code;

	if (WaitForSingleObject(w->process, 0) == WAIT_OBJECT_0 &&
		GetExitCodeProcess(w->process, &code) && code != 0 && code != CONSOLE_CLOSED)
		return SMX_ENOTFOUND;
	return SMX_ECANCELLED;
}

static int await_client(struct window *w, DWORD pid)
{
	OVERLAPPED o = { .hEvent = w->event };
	ULONG client = 0;
	DWORD n;
	int r = 0;

	if (!ConnectNamedPipe(w->pipe, &o)) {
		DWORD e = GetLastError();

		if (e == ERROR_IO_PENDING)
			r = await(w, &o, &n) == 0 ? 0 : why_no_client(w);
		else if (e != ERROR_PIPE_CONNECTED)
			r = SMX_ESYS;
	}
	if (r == 0 && (!GetNamedPipeClientProcessId(w->pipe, &client) || client != pid))
		r = SMX_EDENIED;
	return r;
}

static int send_line(struct window *w, const struct smx_buf *line)
{
	OVERLAPPED o = { .hEvent = w->event };
	DWORD n;

	(void)ResetEvent(w->event);
	if (!is_pending(WriteFile(w->pipe, smx_buf_view(line), (DWORD)smx_buf_len(line), NULL, &o)))
		return SMX_ECANCELLED;
	return await(w, &o, &n);
}

static int read_line(struct window *w, struct smx_buf *line)
{
	char piece[512];
	DWORD n;
	int r = 0;

	while (r == 0) {
		OVERLAPPED o = { .hEvent = w->event };

		(void)ResetEvent(w->event);
		if (!is_pending(ReadFile(w->pipe, piece, sizeof(piece), NULL, &o)) ||
			await(w, &o, &n) != 0 || n == 0) {
			r = SMX_ECANCELLED;
			break;
		}
		if ((r = smx_buf_put(line, piece, n)) == 0 && memchr(piece, '\n', n))
			break;
	}
	smx_wipe(piece, sizeof(piece));
	return r == SMX_ELIMIT ? SMX_EFORMAT : r;
}

/* ---- the question and the answer ---------------------------------------------------------------
 */

/* Read-Host writes a colon of its own behind it. smx_free. */
static char *without_colon(const char *label)
{
	size_t n = strlen(label);

	while (n && (label[n - 1] == ' ' || label[n - 1] == ':'))
		n--;
	return smx_strndup(label, n);
}

static int put_question(const struct smx_os_window_question *q, struct smx_buf *out)
{
	const char *text = q->text ? q->text : "", *end = strchr(text, '\n');
	json_t *o = json_object();
	char *line = NULL, *target, *label;
	int r = SMX_ENOMEM;

	target = end ? smx_strndup(text, (size_t)(end - text)) : smx_strdup(text);
	label = without_colon(q->label ? q->label : "");
	if (o && target && label && json_object_set_new(o, "target", json_string(target)) == 0 &&
		json_object_set_new(o, "text", json_string(end ? end + 1 : "")) == 0 &&
		json_object_set_new(o, "label", json_string(label)) == 0 &&
		json_object_set_new(o, "error", json_string(q->error ? q->error : "")) == 0 &&
		json_object_set_new(o, "confirm", json_boolean(!q->label)) == 0 &&
		(line = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII)) != NULL) {
		r = smx_buf_put_str(out, line);
		if (r == 0)
			r = smx_buf_put(out, "\n", 1);
	}
	free(line);
	smx_free(target);
	smx_free(label);
	json_decref(o);
	return r;
}

static int take_answer(const struct smx_os_window_question *q, const struct smx_buf *line,
	char *ret_answer, size_t size)
{
	json_t *o = json_loadb((const char *)smx_buf_view(line), smx_buf_len(line), 0, NULL);
	const char *answer = json_string_value(json_object_get(o, "answer"));
	int r = 0;

	if (!answer)
		r = SMX_EFORMAT;
	else if (!q->label)
		r = strcmp(answer, "yes") == 0 ? 0 : SMX_ECANCELLED;
	else if (strlen(answer) >= size)
		r = SMX_ELIMIT;
	else
		memcpy(ret_answer, answer, strlen(answer) + 1);
	if (answer) /* ours alone: nobody else holds the object */
		smx_wipe((char *)(uintptr_t)answer, strlen(answer));
	json_decref(o);
	return r;
}

static int talk(struct window *w, DWORD pid, const struct smx_os_window_question *q,
	char *ret_answer, size_t size)
{
	struct smx_buf out, in;
	int r;

	smx_buf_init(&out, LINE_MAX_LEN);
	smx_buf_init_secret(&in, LINE_MAX_LEN);
	if ((r = put_question(q, &out)) == 0 && (r = await_client(w, pid)) == 0 &&
		(r = send_line(w, &out)) == 0 && (r = read_line(w, &in)) == 0)
		r = take_answer(q, &in, ret_answer, size);
	smx_buf_release(&out);
	smx_buf_release(&in);
	return r;
}

static int start(const wchar_t *name, PROCESS_INFORMATION *ret)
{
	STARTUPINFOW si = { .cb = sizeof(si) };
	char *path = NULL, *encoded = NULL;
	wchar_t *program = NULL, *line = NULL;
	int r;

	if ((r = find_powershell(&path)) == 0 && (r = encode_script(&encoded)) == 0) {
		const char *args[] = { path, "-NoLogo", "-NoProfile", "-EncodedCommand", encoded,
			NULL };

		if ((r = smx_win_wide(path, &program)) == 0)
			r = smx_win_command_line(args, &line);
	}
	if (r == 0) {
		(void)SetEnvironmentVariableW(PIPE_VARIABLE, name);
		/* Its cmdlets come from its own modules, not from where somebody's variable says;
		 * that of a PowerShell 7 which started us would break it, too. */
		(void)SetEnvironmentVariableW(L"PSModulePath", NULL);
		/* A console of its own, and none of our handles. */
		if (!CreateProcessW(program, line, NULL, NULL, FALSE,
			    CREATE_NEW_CONSOLE | CREATE_SUSPENDED, NULL, NULL, &si, ret))
			r = SMX_ENOTFOUND;
		(void)SetEnvironmentVariableW(PIPE_VARIABLE, NULL);
	}
	smx_free(line);
	smx_free(program);
	smx_free(encoded);
	smx_free(path);
	return r;
}

/* Whatever becomes of us, its window is gone then: the job ends with the last handle to it. */
static int tie(struct window *w, const PROCESS_INFORMATION *pi)
{
	JOBOBJECT_EXTENDED_LIMIT_INFORMATION limit = { 0 };

	limit.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
	w->job = CreateJobObjectW(NULL, NULL);
	return w->job &&
			       SetInformationJobObject(w->job, JobObjectExtendedLimitInformation,
				       &limit, sizeof(limit)) &&
			       AssignProcessToJobObject(w->job, pi->hProcess) &&
			       ResumeThread(pi->hThread) != (DWORD)-1
		       ? 0
		       : SMX_ESYS;
}

int smx_win_ask_by_script(const struct smx_os_window_question *q, const atomic_int *stop,
	char *ret_answer, size_t size)
{
	struct window w = { .pipe = INVALID_HANDLE_VALUE, .stop = stop };
	PROCESS_INFORMATION pi;
	wchar_t name[64];
	int r;

	if ((r = make_pipe(&w, name, sizeof(name) / sizeof(name[0]))) == 0 &&
		(r = start(name, &pi)) == 0) {
		w.process = pi.hProcess;
		if ((r = tie(&w, &pi)) == 0)
			r = talk(&w, pi.dwProcessId, q, ret_answer, size);
		(void)TerminateProcess(pi.hProcess, 0); /* and with it the window */
		(void)CloseHandle(pi.hThread);
		(void)CloseHandle(pi.hProcess);
	}
	if (w.pipe != INVALID_HANDLE_VALUE)
		(void)CloseHandle(w.pipe);
	if (w.event)
		(void)CloseHandle(w.event);
	if (w.job)
		(void)CloseHandle(w.job);
	return r;
}
