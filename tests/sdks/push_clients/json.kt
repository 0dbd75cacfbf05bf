// SPDX-License-Identifier: Apache-2.0
// As far as docs/push-clients.md uses it, declared by hand: https://developer.android.com/reference/org/json/JSONObject
package org.json

class JSONObject() {
    constructor(json: String) : this()
    constructor(copyFrom: Map<*, *>) : this()

    fun put(name: String, value: Any?): JSONObject = TODO()
    fun has(name: String?): Boolean = TODO()
    fun isNull(name: String?): Boolean = TODO()
    fun getLong(name: String): Long = TODO()
    fun getString(name: String): String = TODO()
    fun optString(name: String?): String = TODO()
}
