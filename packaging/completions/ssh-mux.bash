# SPDX-License-Identifier: MIT
# Completion of ssh-mux for bash (3.2 and later). Source it, or install it as
# share/bash-completion/completions/ssh-mux.
#
# Names of routes come from `ssh-mux __routes`, which reads the routes file as the daemon does.
# They are compared as text and never evaluated.

# Adds those of the words $2… that begin with $1.
_ssh_mux_words() {
	local cur=$1 word
	shift
	for word in "$@"; do
		case $word in "$cur"*) COMPREPLY+=("$word") ;; esac
	done
}

_ssh_mux_routes() {
	local cur=$1 program=$2 name
	while IFS= read -r name; do
		case $name in
		*[!A-Za-z0-9._-]*) ;;
		"$cur"*) COMPREPLY+=("$name") ;;
		esac
	done < <("$program" __routes 2>/dev/null)
}

_ssh_mux_files() {
	local name
	compopt -o filenames 2>/dev/null
	while IFS= read -r name; do
		COMPREPLY+=("$name")
	done < <(compgen -f -- "$1")
}

# What an option takes: 0 if that was completed, 1 if it takes nothing.
_ssh_mux_value() {
	local option=$1 cur=$2
	case $option in
	--via) _ssh_mux_words "$cur" control tcp proxy ;;
	--color) _ssh_mux_words "$cur" always never auto ;;
	--log-level) _ssh_mux_words "$cur" error warn info debug ;;
	--config | --from | --out | --ssh-bin) _ssh_mux_files "$cur" ;;
	-c) _ssh_mux_files "$cur" ;;
	--port | -p | --timeout | --max-lifetime | --interval | -i | --remote | --user | -u) ;;
	*) return 1 ;;
	esac
}

_ssh_mux() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev= command=${COMP_WORDS[1]} i word
	local options= takes_route= named=
	COMPREPLY=()
	[ "$COMP_CWORD" -gt 0 ] && prev=${COMP_WORDS[COMP_CWORD - 1]}
	if [ "$COMP_CWORD" -eq 1 ]; then
		_ssh_mux_words "$cur" install uninstall import-config setup-config check-config \
			doctor serve daemon connect login proxy status top lock unlock stop --help \
			--version
		return
	fi
	# "--option=value" comes as three words.
	if [ "$cur" = = ]; then
		_ssh_mux_value "$prev" "" && return
	elif [ "$prev" = = ] && [ "$COMP_CWORD" -gt 2 ]; then
		_ssh_mux_value "${COMP_WORDS[COMP_CWORD - 2]}" "$cur"
		return
	elif _ssh_mux_value "$prev" "$cur"; then
		return
	fi
	case $command in
	install)
		options="--config --port --timeout --via --except --all --ssh-bin --yes"
		;;
	uninstall)
		options="--purge"
		;;
	import-config)
		options="--from --out --write --force --merge --transports --except --ssh-bin"
		;;
	setup-config)
		options="--config --port --via --all --dry-run --for-app --json --ssh-bin"
		;;
	check-config)
		options="--config"
		;;
	doctor)
		options="--config --port --ssh-bin --json"
		takes_route=1
		;;
	serve)
		options="--config --remote --user --port --timeout --max-lifetime --log-level"
		;;
	daemon)
		options="--config --port --no-listen --timeout --max-lifetime --log-level --foreground"
		;;
	status)
		options="--json --color"
		;;
	top)
		options="--interval --once --color"
		;;
	connect)
		takes_route=1
		;;
	proxy)
		options="--batch"
		takes_route=1
		;;
	login)
		options="--renew"
		takes_route=1
		;;
	lock | unlock | stop) ;;
	*)
		return
		;;
	esac
	for ((i = 2; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		_ssh_mux_value "${COMP_WORDS[i - 1]}" "" >/dev/null && continue
		case $word in -* | =) ;; *) named=1 ;; esac
	done
	COMPREPLY=()
	[ "$command" = connect ] && [ -n "$named" ] && return # the remote's words
	case $cur in
	-*)
		# shellcheck disable=SC2086 # several words
		_ssh_mux_words "$cur" $options --help --version
		;;
	*)
		[ -n "$takes_route" ] && [ -z "$named" ] &&
			_ssh_mux_routes "$cur" "${COMP_WORDS[0]}"
		;;
	esac
}

complete -F _ssh_mux ssh-mux
