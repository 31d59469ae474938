package platform

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// UsersRead lets ordinary users read and execute.
const UsersRead = "(A;OICI;0x1200a9;;;BU)"

// Restrict gives a file or folder, and what will be in it, SYSTEM and the administrators only, and others as it says.
// It takes nothing over from the folder above: below C:\ every user may make files.
func Restrict(path, others string) error {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return fmt.Errorf("who this process is: %w", err)
	}
	sd, err := windows.SecurityDescriptorFromString("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;" +
		user.User.Sid.String() + ")" + others)
	if err != nil {
		return err
	}
	acl, _, err := sd.DACL()
	if err != nil {
		return err
	}
	if err := windows.SetNamedSecurityInfo(path, windows.SE_FILE_OBJECT,
		windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, acl, nil); err != nil {
		return fmt.Errorf("rights of %s: %w", path, err)
	}
	return nil
}

// writes are the rights of a file or folder by which its content, or what it is, can be changed.
const writes = windows.FILE_WRITE_DATA | windows.FILE_APPEND_DATA | windows.WRITE_DAC | windows.WRITE_OWNER |
	windows.DELETE | windows.GENERIC_WRITE | windows.GENERIC_ALL

// Writers names the groups of ordinary users that may change the file or folder: containerd executes what is in our
// folders as SYSTEM. Below C:\ Windows Server lets every user make files.
func Writers(path string) (who []string, err error) {
	sd, err := windows.GetNamedSecurityInfo(path, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION)
	if err != nil {
		return nil, err
	}
	acl, _, err := sd.DACL()
	if err != nil || acl == nil {
		return []string{"everybody"}, err // without a list nothing is forbidden
	}
	for i := range uint32(acl.AceCount) {
		var ace *windows.ACCESS_ALLOWED_ACE
		if err := windows.GetAce(acl, i, &ace); err != nil {
			return who, err
		}
		if ace.Header.AceType != windows.ACCESS_ALLOWED_ACE_TYPE || ace.Mask&writes == 0 {
			continue
		}
		sid := (*windows.SID)(unsafe.Pointer(&ace.SidStart))
		for kind, group := range map[windows.WELL_KNOWN_SID_TYPE]string{windows.WinBuiltinUsersSid: "Users",
			windows.WinWorldSid: "Everyone", windows.WinAuthenticatedUserSid: "Authenticated Users",
			windows.WinInteractiveSid: "Interactive"} {
			if sid.IsWellKnown(kind) {
				who = append(who, group)
			}
		}
	}
	return who, nil
}
