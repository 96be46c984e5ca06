'use strict';
// Names the kind of this machine. An addon works only on the kind of machine for which it was made.

/** Returns for example `linux-x64`, or `linux-x64-musl` on a Linux with the C library musl, such as Alpine. */
function machineOf({ platform, arch, report }) {
  return `${platform}-${arch}${platform === 'linux' && isMusl(report) ? '-musl' : ''}`;
}

/** Whether the C library is musl. A report has the version of glibc. On musl, it has none. */
function isMusl(report) {
  if (!report) return false;
  const { excludeNetwork } = report;
  // Without this setting, the report could wait for the names of remote machines.
  if (typeof excludeNetwork === 'boolean') report.excludeNetwork = true;
  try {
    return report.getReport().header.glibcVersionRuntime === undefined;
  } catch {
    return false;
  } finally {
    if (typeof excludeNetwork === 'boolean') report.excludeNetwork = excludeNetwork;
  }
}

module.exports = { machineOf };
