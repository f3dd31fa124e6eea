/* SPDX-License-Identifier: MIT */
/*
 * What Windows has of it at little cost: no DLL of an extension point (input methods of old, hooks
 * of other programs, AppInit), and none from a share or written by a program of low integrity
 * (os/confine.h). Files and programs stay as reachable as before.
 */
#include "os/confine.h"

#include <stdio.h>

#include "os/win/win.h"

void smx_os_confine(const struct smx_os_place *places, size_t n, struct smx_os_confined *ret)
{
	PROCESS_MITIGATION_EXTENSION_POINT_DISABLE_POLICY points = { .DisableExtensionPoints = 1 };
	PROCESS_MITIGATION_IMAGE_LOAD_POLICY images = {
		.NoRemoteImages = 1, .NoLowMandatoryLabelImages = 1, .PreferSystem32Images = 1
	};
	int has_points = SetProcessMitigationPolicy(
		ProcessExtensionPointDisablePolicy, &points, sizeof(points));
	int has_images =
		SetProcessMitigationPolicy(ProcessImageLoadPolicy, &images, sizeof(images));

	(void)places;
	(void)n;
	*ret = (struct smx_os_confined){ .landlock = 0 };
	(void)snprintf(ret->text, sizeof(ret->text), "%s%s%s",
		has_points ? "no extension points" : "", has_points && has_images ? ", " : "",
		has_images ? "no remote images" : "");
	if (!has_points && !has_images)
		(void)snprintf(ret->text, sizeof(ret->text), "no (the system has no policies)");
}

unsigned smx_os_landlock_version(void)
{
	return 0;
}
