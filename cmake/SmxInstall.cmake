# What packages hold: the program, completions where bash, zsh and fish look for those of packages,
# man pages, the systemd user unit, licences and the changelog, below any prefix.
include(GNUInstallDirs)
set(SMX_ZSH_DIR ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING
	"Where zsh looks for completions (Debian: share/zsh/vendor-completions)")

install(TARGETS ssh-mux)
install(FILES packaging/completions/ssh-mux.bash RENAME ssh-mux
	DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES packaging/completions/_ssh-mux DESTINATION ${SMX_ZSH_DIR})
install(FILES packaging/completions/ssh-mux.fish
	DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
install(FILES docs/man/ssh-mux.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES docs/man/ssh-mux-routes.5 DESTINATION ${CMAKE_INSTALL_MANDIR}/man5)
install(FILES LICENSE CHANGELOG.md README.md packaging/ssh-mux-routes.example.toml
	DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY packaging/licences/ DESTINATION ${CMAKE_INSTALL_DOCDIR}/licences)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
	smx_install_unit()
endif()
