"""What somebody may try against a server, a file for each: every test here is an attack that must fail.

The classes of faults that other mock servers published are among them:

====================================================  ================================  =============================
What is tried                                         File                               Published as
====================================================  ================================  =============================
a callback to what the server alone can reach         test_ssrf.py                       CVE-2023-41327
a receiver that redirects to it                       test_redirects.py                  CVE-2023-41327
a name that leads elsewhere after the check           test_dns_rebinding.py              CVE-2023-41329
an address in disguise                                test_address_forms.py
a URL with credentials in it, and one that hides      test_url_credentials.py
its host behind them
a path out of its folder, in segments and headers     test_path_traversal.py             CVE-2025-59049
a name that begins like another                       test_prefixes.py                   CVE-2026-59149
a page of another origin, scripts in templates        test_cors.py, test_templates.py    CVE-2021-32827, 2021 chain
a Host that is not ours                               test_host_tricks.py                2021 chain
steering, reading files, running code by admin        test_admin.py                      CVE-2024-45388,
                                                                                         CVE-2025-54123
an admin stream without a token                       test_admin_token.py                a log socket that stayed open
YAML that grows, nests, or names types                test_yaml_bombs.py
JSON that grows or nests                              test_json_bombs.py
heads without end, of many lines, behind bodies       test_header_floods.py
clients that dribble, and many that wait              test_slowloris.py
compressed bodies, pictures and answers               test_decompression_bombs.py
pictures of many pixels                               test_pixel_bombs.py
more tenants, accounts, hosts than there is room for  test_tenant_floods.py
bodies of 64 MiB, and many of them                    test_large_bodies.py
bytes that are no UTF-8                               test_invalid_utf8.py
names given twice                                     test_duplicate_keys.py
NaN, infinities, numbers beyond all types             test_nan.py
anything else                                         test_no_uninvited_500.py
====================================================  ================================  =============================

"2021 chain" are the faults of one peer that together let a page take over the machine it was shown on.
"""
