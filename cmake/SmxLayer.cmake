# smx_layer(NAME [SUBDIRS d...] [LINK targets...]): the static library smx_NAME made
# of src/NAME/*.c (and of each src/NAME/SUBDIR/*.c).
function(smx_layer name)
	cmake_parse_arguments(arg "" "" "SUBDIRS;LINK" ${ARGN})
	file(GLOB sources CONFIGURE_DEPENDS
		${CMAKE_SOURCE_DIR}/src/${name}/*.c ${CMAKE_SOURCE_DIR}/src/${name}/*.cc)
	foreach(subdir IN LISTS arg_SUBDIRS)
		file(GLOB more CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/${subdir}/*.c)
		list(APPEND sources ${more})
	endforeach()
	add_library(smx_${name} STATIC ${sources})
	target_link_libraries(smx_${name} PUBLIC ${arg_LINK})
	smx_target_flags(smx_${name})
endfunction()
